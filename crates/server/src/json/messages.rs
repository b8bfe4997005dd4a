//! A chat's messages, read one by one: only the last word of the user is kept.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Fields, Text, string};

/// What the server wants to know of a list of messages.
#[derive(Debug, Default)]
pub(crate) struct Messages<'a> {
    /// The content of the last message of the user; none if there is none, or it has none.
    pub(crate) last: Option<&'a RawValue>,
    /// A message has no role that is a string.
    pub(crate) unfit: bool,
}

/// One message, as far as the server reads it.
struct Message<'a> {
    role: Role,
    content: Option<&'a RawValue>,
}

#[derive(PartialEq, Eq)]
enum Role {
    User,
    Other,
    Unfit,
}

impl Role {
    fn of(raw: &RawValue) -> Self {
        match string(raw).as_deref() {
            Some("user") => Self::User,
            Some(_) => Self::Other,
            None => Self::Unfit,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Messages<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Messages<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of messages")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut all = Messages::default();
                while let Some(message) = seq.next_element::<Message<'de>>()? {
                    match message.role {
                        Role::User => all.last = message.content,
                        Role::Other => {}
                        Role::Unfit => all.unfit = true,
                    }
                }
                Ok(all)
            }
        }
        deserializer.deserialize_seq(Read)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Message<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message, which is a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message<'de>, A::Error> {
                let mut message = Message {
                    role: Role::Unfit,
                    content: None,
                };
                while let Some(Text(key)) = map.next_key()? {
                    match key.as_ref() {
                        "role" => message.role = Role::of(map.next_value()?),
                        "content" => message.content = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(message)
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// The first part of type `text` in a list of content parts, as a JSON string.
pub(crate) fn first_text<'a>(parts: &'a RawValue) -> Option<&'a RawValue> {
    struct Parts;
    impl<'de> Visitor<'de> for Parts {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(part) = seq.next_element::<&RawValue>()? {
                if found.is_none()
                    && let Ok(fields) = Fields::of(part)
                    && fields.get("type").and_then(string).as_deref() == Some("text")
                {
                    found = fields.get("text");
                }
            }
            Ok(found)
        }
    }
    let mut reader: serde_json::Deserializer<serde_json::de::StrRead<'a>> =
        serde_json::Deserializer::from_str(parts.get());
    reader.deserialize_seq(Parts).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_text_part_is_found() {
        let raw: Box<RawValue> = serde_json::from_str(
            r#"[{"type":"image_url"},{"type":"text","text":"t1"},{"type":"text","text":"t2"}]"#,
        )
        .unwrap();
        assert_eq!(first_text(&raw).map(RawValue::get), Some("\"t1\""));
    }
}
