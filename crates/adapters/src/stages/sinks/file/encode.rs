//! What a file holds, as bytes: records in its format, compressed. All of it in memory; what comes out is taken away by who writes it.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::super::super::format::Compression;

/// The encoder of one file.
pub(super) enum Encode {
    /// Bytes as they come.
    Text(Box<Compress>),
    /// Columns.
    Parquet(Box<ArrowWriter<Vec<u8>>>),
}

/// Compresses a text.
pub(super) enum Compress {
    Not(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

impl Encode {
    pub(super) fn text(compression: Compression) -> Result<Self, String> {
        Ok(Self::Text(Box::new(match compression {
            Compression::None | Compression::Auto => Compress::Not(Vec::new()),
            Compression::Gzip => {
                // Its header has no time: the same records give the same file.
                let level = flate2::Compression::default();
                Compress::Gzip(GzEncoder::new(Vec::new(), level))
            }
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 0).map_err(|e| e.to_string())?;
                encoder.include_checksum(true).map_err(|e| e.to_string())?;
                Compress::Zstd(encoder)
            }
        })))
    }

    pub(super) fn parquet(schema: SchemaRef) -> Result<Self, String> {
        let properties = WriterProperties::builder()
            .set_compression(ParquetCompression::ZSTD(ZstdLevel::default()))
            .set_created_by("weir".into())
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties));
        Ok(Self::Parquet(Box::new(writer.map_err(|e| e.to_string())?)))
    }

    /// Adds text.
    pub(super) fn write(&mut self, text: &[u8]) -> Result<(), String> {
        let Self::Text(compress) = self else {
            return Err("text does not go into a Parquet file".into());
        };
        match &mut **compress {
            Compress::Not(out) => out.write_all(text),
            Compress::Gzip(out) => out.write_all(text),
            Compress::Zstd(out) => out.write_all(text),
        }
        .map_err(|e| e.to_string())
    }

    /// Adds columns. Once they take more than `most` bytes, they are made bytes.
    pub(super) fn columns(&mut self, records: &RecordBatch, most: usize) -> Result<(), String> {
        let Self::Parquet(writer) = self else {
            return Err("columns do not go into a text".into());
        };
        let write = |writer: &mut ArrowWriter<Vec<u8>>| {
            writer.write(records)?;
            if writer.memory_size() > most {
                writer.flush()?;
            }
            Ok(())
        };
        write(writer).map_err(|e: parquet::errors::ParquetError| e.to_string())
    }

    /// Does text go into the file as it is?
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Text(compress) if matches!(**compress, Compress::Not(_)))
    }

    /// The bytes that came out since this was asked last.
    pub(super) fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Text(compress) => match &mut **compress {
                Compress::Not(out) => std::mem::take(out),
                Compress::Gzip(out) => std::mem::take(out.get_mut()),
                Compress::Zstd(out) => std::mem::take(out.get_mut()),
            },
            // Places in the file are counted by the writer, not looked up here.
            Self::Parquet(out) => std::mem::take(out.inner_mut()),
        }
    }

    /// The bytes that are still to come.
    pub(super) fn end(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(compress) => match *compress {
                Compress::Not(out) => Ok(out),
                Compress::Gzip(out) => out.finish().map_err(|e| e.to_string()),
                Compress::Zstd(out) => out.finish().map_err(|e| e.to_string()),
            },
            Self::Parquet(out) => out.into_inner().map_err(|e| e.to_string()),
        }
    }
}
