//! Values on their way to PostgreSQL and back.

use std::error::Error;

use bytes::{Bytes, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::super::tx::Value;

type Failed = Box<dyn Error + Sync + Send>;

impl ToSql for Value {
    fn to_sql(&self, to: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) if *to == Type::INT4 => i32::try_from(*number)?.to_sql(to, out),
            Self::Int(number) => number.to_sql(to, out),
            Self::Text(text) => text.to_sql(to, out),
            Self::Bytes(bytes) => bytes.as_ref().to_sql(to, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(of: &Type, raw: &'a [u8]) -> Result<Self, Failed> {
        match *of {
            Type::INT4 => i32::from_sql(of, raw).map(Self::from),
            Type::INT8 => i64::from_sql(of, raw).map(Self::from),
            Type::BYTEA => Ok(Self::Bytes(Bytes::copy_from_slice(raw))),
            _ => String::from_sql(of, raw).map(Self::Text),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failed> {
        Ok(Self::Null)
    }

    fn accepts(of: &Type) -> bool {
        [Type::INT4, Type::INT8, Type::BYTEA, Type::TEXT].contains(of)
    }
}
