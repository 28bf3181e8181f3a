//! How data files are written, from a table's properties.

use std::collections::HashMap;

use parquet::{
    basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties},
};
use serde::{Deserialize, Serialize};
use sqe_core::{Error, Result};

const TARGET_SIZE: &str = "write.target-file-size-bytes";
const CODEC: &str = "write.parquet.compression-codec";
const LEVEL: &str = "write.parquet.compression-level";
/// A row group ends at whichever comes first; readers take one at a time.
const GROUP_ROWS: usize = 1024 * 1024;
const GROUP_BYTES: usize = 128 * 1024 * 1024;
const MEBIBYTE: u64 = 1024 * 1024;

/// Sizes and compression of data files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSettings {
    /// A file is closed and a new one begun when its written bytes reach this.
    pub(crate) target_bytes: u64,
    codec: String,
    level: Option<i32>,
}

impl Default for FileSettings {
    fn default() -> Self {
        Self { target_bytes: 512 * MEBIBYTE, codec: "zstd".to_owned(), level: None }
    }
}

impl FileSettings {
    /// The settings that a table's properties ask for, which are those of the format's other implementations:
    /// `write.target-file-size-bytes`, `write.parquet.compression-codec`, `write.parquet.compression-level`.
    ///
    /// # Errors
    /// `Unsupported` for a codec that is not offered, `InvalidInput` for a value that is no number.
    pub fn of(properties: &HashMap<String, String>) -> Result<Self> {
        let mut settings = Self::default();
        if let Some(bytes) = properties.get(TARGET_SIZE) {
            settings.target_bytes = number::<u64>(TARGET_SIZE, bytes)?.max(MEBIBYTE);
        }
        if let Some(codec) = properties.get(CODEC) {
            settings.codec = codec.to_ascii_lowercase();
        }
        if let Some(level) = properties.get(LEVEL).filter(|level| *level != "null") {
            settings.level = Some(number(LEVEL, level)?);
        }
        settings.compression()?;
        Ok(settings)
    }

    fn compression(&self) -> Result<Compression> {
        let bad_level = |_| Error::invalid(format!("{LEVEL} is out of the range of {}", self.codec));
        let unsigned = |default: u32| match self.level {
            None => Ok(default),
            Some(level) => u32::try_from(level).map_err(|_| bad_level(())),
        };
        Ok(match self.codec.as_str() {
            "zstd" => {
                let level = self.level.map_or(Ok(ZstdLevel::default()), ZstdLevel::try_new);
                Compression::ZSTD(level.map_err(|_| bad_level(()))?)
            }
            "gzip" => Compression::GZIP(GzipLevel::try_new(unsigned(6)?).map_err(|_| bad_level(()))?),
            "brotli" => Compression::BROTLI(BrotliLevel::try_new(unsigned(1)?).map_err(|_| bad_level(()))?),
            "snappy" => Compression::SNAPPY,
            "lz4" | "lz4_raw" => Compression::LZ4_RAW,
            "uncompressed" | "none" => Compression::UNCOMPRESSED,
            other => {
                return Err(Error::unsupported(format!(
                    "{CODEC} = {other:?} is not offered; use zstd, gzip, brotli, snappy, lz4 or uncompressed"
                )));
            }
        })
    }

    /// The Parquet writer's properties. Page statistics are on: readers skip pages with them.
    pub(super) fn writer_properties(&self) -> Result<WriterProperties> {
        Ok(WriterProperties::builder()
            .set_compression(self.compression()?)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_max_row_group_bytes(Some(GROUP_BYTES))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_statistics_truncate_length(Some(64))
            .set_column_index_truncate_length(Some(64))
            .set_created_by(concat!("sqe version ", env!("CARGO_PKG_VERSION")).to_owned())
            .build())
    }
}

fn number<T: std::str::FromStr>(key: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::invalid(format!("the table property {key} = {text:?} is not a usable number")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use sqe_core::ErrorKind;

    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<FileSettings> {
        FileSettings::of(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[rstest]
    #[case(&[], Compression::ZSTD(ZstdLevel::default()))]
    #[case(&[(CODEC, "ZSTD"), (LEVEL, "7")], Compression::ZSTD(ZstdLevel::try_new(7).unwrap()))]
    #[case(&[(CODEC, "snappy"), (LEVEL, "null")], Compression::SNAPPY)]
    #[case(&[(CODEC, "gzip")], Compression::GZIP(GzipLevel::try_new(6).unwrap()))]
    #[case(&[(CODEC, "uncompressed")], Compression::UNCOMPRESSED)]
    fn properties_choose_the_compression(#[case] pairs: &[(&str, &str)], #[case] expected: Compression) {
        assert_eq!(settings(pairs).unwrap().compression().unwrap(), expected);
    }

    #[rstest]
    #[case(&[(CODEC, "lzo")], ErrorKind::Unsupported)]
    #[case(&[(LEVEL, "99")], ErrorKind::InvalidInput)]
    #[case(&[(CODEC, "gzip"), (LEVEL, "-1")], ErrorKind::InvalidInput)]
    #[case(&[(TARGET_SIZE, "big")], ErrorKind::InvalidInput)]
    fn unusable_properties_are_refused(#[case] pairs: &[(&str, &str)], #[case] kind: ErrorKind) {
        assert_eq!(settings(pairs).unwrap_err().kind(), kind);
    }
}
