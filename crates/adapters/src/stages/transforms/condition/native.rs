//! Turning a CEL expression into what is asked over bytes, as far as that goes.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use crate::stages::record::{Number, Path, Projection, Step};

use super::evaluate::{Constant, Node, TextTest, Wanted};
use super::interpret::{self, Interpreted};

/// Compiles a part. Without `natively`, all of it is left to the interpreter.
pub(super) fn compile(part: &IdedExpr, projection: &mut Projection, natively: bool) -> Node {
    let node = if natively {
        native(part, projection)
    } else {
        None
    };
    node.unwrap_or_else(|| Node::Interpreted(Box::new(Interpreted::new(part, projection))))
}

fn native(part: &IdedExpr, projection: &mut Projection) -> Option<Node> {
    match &part.expr {
        Expr::Literal(LiteralValue::Boolean(value)) => Some(Node::Constant(*value.inner())),
        Expr::Select(select) if select.test => has(select, projection),
        Expr::Call(call) => match (call.target.as_deref(), call.args.as_slice()) {
            (None, [only]) if call.func_name == operators::LOGICAL_NOT => {
                Some(Node::Not(Box::new(compile(only, projection, true))))
            }
            (None, [left, right]) => binary(call, left, right, projection)
                .or_else(|| field(part, projection).map(Node::Field)),
            (Some(target), [with]) => text_test(call, target, with, projection),
            _ => None,
        },
        _ => field(part, projection).map(Node::Field),
    }
}

fn binary(
    call: &CallExpr,
    left: &IdedExpr,
    right: &IdedExpr,
    projection: &mut Projection,
) -> Option<Node> {
    let both = |projection: &mut Projection| {
        let left = Box::new(compile(left, projection, true));
        (left, Box::new(compile(right, projection, true)))
    };
    match call.func_name.as_str() {
        operators::LOGICAL_AND => {
            let (left, right) = both(projection);
            Some(Node::And(left, right))
        }
        operators::LOGICAL_OR => {
            let (left, right) = both(projection);
            Some(Node::Or(left, right))
        }
        operators::EQUALS | operators::NOT_EQUALS => {
            let (to, of) = match constant(right) {
                Some(to) => (to, left),
                None => (constant(left)?, right),
            };
            Some(Node::Equal {
                slot: field(of, projection)?,
                to,
                negated: call.func_name == operators::NOT_EQUALS,
            })
        }
        operators::IN => {
            let Expr::List(list) = &right.expr else {
                return None;
            };
            if !list.optional_indices.is_empty() {
                return None;
            }
            let list = list.elements.iter().map(constant).collect::<Option<_>>()?;
            Some(Node::In {
                slot: field(left, projection)?,
                list,
            })
        }
        name => {
            let (wanted, turned) = match name {
                operators::LESS => (Wanted::Less, Wanted::Greater),
                operators::LESS_EQUALS => (Wanted::LessOrEqual, Wanted::GreaterOrEqual),
                operators::GREATER => (Wanted::Greater, Wanted::Less),
                operators::GREATER_EQUALS => (Wanted::GreaterOrEqual, Wanted::LessOrEqual),
                _ => return None,
            };
            let (of, to, wanted) = match constant(right) {
                Some(to) => (left, to, wanted),
                None => (right, constant(left)?, turned),
            };
            let slot = field(of, projection)?;
            Some(Node::Order { slot, to, wanted })
        }
    }
}

fn text_test(
    call: &CallExpr,
    target: &IdedExpr,
    with: &IdedExpr,
    projection: &mut Projection,
) -> Option<Node> {
    let test = match call.func_name.as_str() {
        "startsWith" => TextTest::StartsWith,
        "endsWith" => TextTest::EndsWith,
        "contains" => TextTest::Contains,
        _ => return None,
    };
    let Some(Constant::Text(with)) = constant(with) else {
        return None;
    };
    let slot = field(target, projection)?;
    Some(Node::Text { slot, test, with })
}

fn has(select: &SelectExpr, projection: &mut Projection) -> Option<Node> {
    let mut steps = steps(&select.operand)?;
    let of = if steps.is_empty() {
        None
    } else {
        Some(projection.want(&named(steps.clone())))
    };
    steps.push(Step::Key(select.field.clone()));
    let slot = projection.want(&named(steps));
    Some(Node::Has { of, slot })
}

/// The slot of a part that is a path into the record.
fn field(part: &IdedExpr, projection: &mut Projection) -> Option<usize> {
    let steps = steps(part)?;
    if steps.is_empty() {
        return None;
    }
    Some(projection.want(&named(steps)))
}

/// The steps of a path; none of them: the record itself.
fn steps(part: &IdedExpr) -> Option<Vec<Step>> {
    match &part.expr {
        Expr::Ident(name) if name == interpret::RECORD => Some(Vec::new()),
        Expr::Ident(name) if interpret::is_field(name) => Some(vec![Step::Key(name.clone())]),
        Expr::Select(select) if !select.test => {
            let mut steps = steps(&select.operand)?;
            steps.push(Step::Key(select.field.clone()));
            Some(steps)
        }
        Expr::Call(call) if call.func_name == operators::INDEX && call.target.is_none() => {
            let [of, at] = call.args.as_slice() else {
                return None;
            };
            let mut steps = steps(of)?;
            steps.push(match constant(at)? {
                Constant::Text(key) => Step::Key(key),
                Constant::Number(Number::Int(index)) => Step::Index(usize::try_from(index).ok()?),
                _ => return None,
            });
            Some(steps)
        }
        _ => None,
    }
}

/// A path as a condition writes it.
fn named(steps: Vec<Step>) -> Path {
    let mut written = String::new();
    for step in &steps {
        match step {
            Step::Key(key) | Step::Either(key, _) if written.is_empty() => written.push_str(key),
            Step::Key(key) | Step::Either(key, _) => {
                written.push('.');
                written.push_str(key);
            }
            Step::Index(index) => written.push_str(&format!("[{index}]")),
        }
    }
    Path::of_steps(steps, written)
}

fn constant(part: &IdedExpr) -> Option<Constant> {
    let Expr::Literal(literal) = &part.expr else {
        return negative(part);
    };
    Some(match literal {
        LiteralValue::Null => Constant::Null,
        LiteralValue::Boolean(value) => Constant::Boolean(*value.inner()),
        LiteralValue::Int(value) => Constant::Number(Number::Int(*value.inner())),
        LiteralValue::UInt(value) => Constant::Number(Number::UInt(*value.inner())),
        LiteralValue::Double(value) => Constant::Number(Number::Float(*value.inner())),
        LiteralValue::String(text) => Constant::Text(text.inner().to_owned()),
        LiteralValue::Bytes(_) => return None,
    })
}

/// `-1`, where the parser leaves the sign an operation.
fn negative(part: &IdedExpr) -> Option<Constant> {
    let Expr::Call(call) = &part.expr else {
        return None;
    };
    let [only] = call.args.as_slice() else {
        return None;
    };
    if call.func_name != operators::NEGATE || call.target.is_some() {
        return None;
    }
    let Expr::Literal(literal) = &only.expr else {
        return None;
    };
    match literal {
        LiteralValue::Int(value) => value
            .inner()
            .checked_neg()
            .map(|n| Constant::Number(Number::Int(n))),
        LiteralValue::Double(value) => Some(Constant::Number(Number::Float(-*value.inner()))),
        _ => None,
    }
}
