//! Asking a compiled condition, over the bytes of a record. What each part says is what CEL says.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::stages::record::{Kind, Number, Projection, Slots, kind, kind_name, text};

use super::interpret::Interpreted;

/// A part of a condition: true, false, or no answer.
#[derive(Debug)]
pub(super) enum Node {
    Constant(bool),
    /// A field that is itself true or false.
    Field(usize),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    /// `==`, or `!=` where it is negated.
    Equal {
        slot: usize,
        to: Constant,
        negated: bool,
    },
    /// `<` and its like.
    Order {
        slot: usize,
        to: Constant,
        wanted: Wanted,
    },
    In {
        slot: usize,
        list: Vec<Constant>,
    },
    /// Is there such a field, of this object? None: of the record itself.
    Has {
        of: Option<usize>,
        slot: usize,
    },
    Text {
        slot: usize,
        test: TextTest,
        with: String,
    },
    Interpreted(Box<Interpreted>),
}

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Constant {
    Null,
    Boolean(bool),
    Number(Number),
    Text(String),
}

/// How a field has to stand to a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Wanted {
    fn is(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// What is asked of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The record has no such field.
    Missing(usize),
    /// It is something that cannot be asked so.
    Unfit {
        /// The field.
        slot: usize,
        /// What it is.
        is: &'static str,
        /// What would do.
        wanted: &'static str,
    },
    /// What the interpreter said.
    Said(String),
}

impl Trouble {
    pub(super) fn say(self, projection: &Projection) -> String {
        let name = |slot| {
            let path = projection.path(slot);
            path.map(ToString::to_string).unwrap_or_default()
        };
        match self {
            Self::Missing(slot) => format!(
                "the condition asks for {}, and the record has no such field; `has(record.{0})` asks whether it does",
                name(slot)
            ),
            Self::Unfit { slot, is, wanted } => {
                format!(
                    "the condition needs {} to be {wanted}, and it is {is}",
                    name(slot)
                )
            }
            Self::Said(text) => format!("the condition has no answer: {text}"),
        }
    }
}

impl Node {
    pub(super) fn holds(&self, line: &[u8], slots: &Slots) -> Result<bool, Trouble> {
        let field = |slot: usize| slots.get(line, slot).ok_or(Trouble::Missing(slot));
        match self {
            Self::Constant(value) => Ok(*value),
            Self::Field(slot) => {
                boolean(field(*slot)?).ok_or_else(|| unfit(*slot, line, slots, "true or false"))
            }
            Self::Not(inner) => Ok(!inner.holds(line, slots)?),
            Self::And(left, right) => both(left, right, line, slots, false),
            Self::Or(left, right) => both(left, right, line, slots, true),
            Self::Equal { slot, to, negated } => Ok(to.equals(field(*slot)?) != *negated),
            Self::Order { slot, to, wanted } => match to.order(field(*slot)?) {
                Some(order) => Ok(wanted.is(order)),
                None => Err(unfit(*slot, line, slots, to.wanted())),
            },
            Self::In { slot, list } => {
                let raw = field(*slot)?;
                Ok(list.iter().any(|constant| constant.equals(raw)))
            }
            Self::Has { of, slot } => {
                if let Some(of) = *of
                    && kind(field(of)?) != Kind::Object
                {
                    return Err(unfit(of, line, slots, "an object"));
                }
                Ok(slots.get(line, *slot).is_some())
            }
            Self::Text { slot, test, with } => {
                let text =
                    text(field(*slot)?).ok_or_else(|| unfit(*slot, line, slots, "a string"))?;
                Ok(match test {
                    TextTest::StartsWith => text.starts_with(with.as_str()),
                    TextTest::EndsWith => text.ends_with(with.as_str()),
                    TextTest::Contains => text.contains(with.as_str()),
                })
            }
            Self::Interpreted(part) => part.holds(line, slots),
        }
    }
}

#[cold]
fn unfit(slot: usize, line: &[u8], slots: &Slots, wanted: &'static str) -> Trouble {
    let is = kind_name(slots.get(line, slot).unwrap_or_default());
    Trouble::Unfit { slot, is, wanted }
}

/// `&&` and `||`: one side that decides is enough, whatever becomes of the other.
fn both(
    left: &Node,
    right: &Node,
    line: &[u8],
    slots: &Slots,
    decides: bool,
) -> Result<bool, Trouble> {
    match left.holds(line, slots) {
        Ok(value) if value == decides => Ok(decides),
        Ok(_) => right.holds(line, slots),
        Err(trouble) => match right.holds(line, slots) {
            Ok(value) if value == decides => Ok(decides),
            _ => Err(trouble),
        },
    }
}

fn boolean(raw: &[u8]) -> Option<bool> {
    match raw {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

impl Constant {
    /// CEL's `==`: values of different kinds are not equal; numbers are compared by value.
    #[inline]
    fn equals(&self, raw: &[u8]) -> bool {
        match self {
            Self::Text(text) => match raw {
                [b'"', inner @ .., b'"'] => same_text(raw, inner, text),
                _ => false,
            },
            Self::Number(number) => {
                kind(raw) == Kind::Number
                    && compare(Number::read(raw), *number) == Some(Ordering::Equal)
            }
            Self::Boolean(value) => boolean(raw) == Some(*value),
            Self::Null => raw == b"null",
        }
    }

    /// How a value stands to it; none where the two have no order.
    #[inline]
    fn order(&self, raw: &[u8]) -> Option<Ordering> {
        match self {
            Self::Number(number) if kind(raw) == Kind::Number => {
                compare(Number::read(raw), *number)
            }
            Self::Text(to) => text(raw).map(|text| text.as_ref().cmp(to.as_str())),
            Self::Boolean(to) => boolean(raw).map(|value| value.cmp(to)),
            Self::Number(_) | Self::Null => None,
        }
    }

    fn wanted(&self) -> &'static str {
        match self {
            Self::Null => "something that null can be compared with",
            Self::Boolean(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
        }
    }
}

#[inline]
fn same_text(raw: &[u8], inner: &[u8], text: &str) -> bool {
    if inner == text.as_bytes() {
        // Without an escape the bytes are the text; with one they are longer than it.
        return memchr::memchr(b'\\', inner).is_none() || decoded(raw).as_deref() == Some(text);
    }
    memchr::memchr(b'\\', inner).is_some() && decoded(raw).as_deref() == Some(text)
}

#[cold]
fn decoded(raw: &[u8]) -> Option<Cow<'_, str>> {
    text(raw)
}

/// As CEL compares numbers of different kinds: whole ones exactly, with a float as floats.
fn compare(left: Number, right: Number) -> Option<Ordering> {
    match (left, right) {
        (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
        (Number::UInt(a), Number::UInt(b)) => Some(a.cmp(&b)),
        (Number::Int(a), Number::UInt(b)) => {
            Some(u64::try_from(a).map_or(Ordering::Less, |a| a.cmp(&b)))
        }
        (Number::UInt(a), Number::Int(b)) => {
            Some(u64::try_from(b).map_or(Ordering::Greater, |b| a.cmp(&b)))
        }
        (a, b) => a.float().partial_cmp(&b.float()),
    }
}
