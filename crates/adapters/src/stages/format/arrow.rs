//! Arrow record batches from and to the bytes of a batch.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayData, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use bytes::Bytes;

/// One Arrow IPC stream of it, uncompressed.
pub(crate) fn to_ipc(records: &RecordBatch) -> Result<Bytes, String> {
    let write = || {
        let mut writer = StreamWriter::try_new(Vec::new(), records.schema_ref())?;
        writer.write(records)?;
        writer.finish()?;
        writer.into_inner()
    };
    write().map(Into::into).map_err(|e| e.to_string())
}

/// The record batches of an Arrow IPC stream.
pub(crate) fn from_ipc(stream: &Bytes) -> Result<Vec<RecordBatch>, String> {
    let read = || StreamReader::try_new(Cursor::new(stream), None)?.collect::<Result<Vec<_>, _>>();
    read().map_err(|e| e.to_string())
}

/// The records as lines. Null fields are written, so that all records have the same fields.
pub(crate) fn to_lines(records: &RecordBatch) -> Result<Vec<u8>, String> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(Vec::new());
    let records = in_utc(records).map_err(|e| e.to_string())?;
    let written = writer.write(&records).and_then(|()| writer.finish());
    written.map_err(|e| e.to_string())?;
    Ok(writer.into_inner())
}

/// The same records, with instants that name a zone (`Europe/Berlin`, also `UTC`) told in UTC: only offsets can be written as JSON.
fn in_utc(records: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = records.schema();
    let fields: Vec<_> = schema.fields().iter().map(field_in_utc).collect();
    if fields.iter().eq(schema.fields().iter()) {
        return Ok(records.clone());
    }
    let columns = records.columns().iter().zip(&fields);
    let columns = columns
        .map(|(column, field)| {
            data_in_utc(column.to_data(), field.data_type()).map(arrow::array::make_array)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(records.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

fn field_in_utc(field: &FieldRef) -> FieldRef {
    let within = type_in_utc(field.data_type());
    if within == *field.data_type() {
        return field.clone();
    }
    Arc::new(field.as_ref().clone().with_data_type(within))
}

fn type_in_utc(kind: &DataType) -> DataType {
    match kind {
        DataType::Timestamp(unit, Some(zone)) if !zone.starts_with(['+', '-']) => {
            DataType::Timestamp(*unit, Some("+00:00".into()))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field_in_utc).collect()),
        DataType::List(item) => DataType::List(field_in_utc(item)),
        DataType::LargeList(item) => DataType::LargeList(field_in_utc(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(field_in_utc(item), *size),
        DataType::Map(entries, sorted) => DataType::Map(field_in_utc(entries), *sorted),
        DataType::Dictionary(key, value) => {
            DataType::Dictionary(key.clone(), Box::new(type_in_utc(value)))
        }
        other => other.clone(),
    }
}

/// The same data with another type, which differs only in zones.
fn data_in_utc(data: ArrayData, kind: &DataType) -> Result<ArrayData, ArrowError> {
    if data.data_type() == kind {
        return Ok(data);
    }
    let kinds: Vec<&DataType> = match kind {
        DataType::Struct(fields) => fields.iter().map(|f| f.data_type()).collect(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => vec![item.data_type()],
        DataType::Dictionary(_, value) => vec![value],
        _ => vec![],
    };
    let children = data.child_data().iter().cloned().zip(kinds);
    let children = children
        .map(|(child, kind)| data_in_utc(child, kind))
        .collect::<Result<Vec<_>, _>>()?;
    data.into_builder()
        .data_type(kind.clone())
        .child_data(children)
        .build()
}
