//! Parquet files that are broken on purpose: a `Data` failure or the right rows, and no panic that escapes the pool.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use connector_core::block::Block;
use connector_core::error::{ErrorClass, Failure};
use connector_decode::Pool;
use connector_decode::parquet::ParquetSource;
use parquet::file::metadata::{FileMetaData, ParquetMetaDataBuilder, ParquetMetaDataReader, ParquetMetaDataWriter};

use crate::parquet_files::write;
use crate::support::{check_block, read_all};

/// Reads a file on the pool, as the program does; a panic becomes a failure.
pub async fn read_on_pool(pool: &Pool, source: ParquetSource) -> Result<Vec<Block>, Failure> {
    let answer = pool.run(move || read_all(source, 1_024)).await?;
    let (_, blocks) = answer?;
    blocks.iter().for_each(check_block);
    Ok(blocks)
}

pub fn small_file() -> (Bytes, Vec<RecordBatch>) {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..50));
    let names: ArrayRef =
        Arc::new(StringArray::from_iter((0..50).map(|row| (row % 5 != 0).then(|| format!("n{}", row % 7)))));
    let columns = vec![("id", ids), ("name", names)];
    let bytes = write(columns.clone(), 20);
    let (schema, blocks) = read_all(ParquetSource::Bytes(bytes.clone()), 1_024).expect("reads");
    assert_eq!(blocks.iter().map(|block| block.rows.num_rows()).sum::<usize>(), 50);
    assert_eq!(schema.columns.len(), 2);
    (bytes, blocks.into_iter().map(|block| block.rows).collect())
}

#[tokio::test]
async fn every_truncation_is_a_data_failure() {
    let pool = Pool::new(2);
    let (bytes, _) = small_file();
    for length in 0..bytes.len() {
        let error = read_on_pool(&pool, ParquetSource::Bytes(bytes.slice(..length))).await.expect_err("truncated");
        assert_eq!((error.class, error.code), (ErrorClass::Data, "bad_footer"), "{length}: {error}");
    }
}

#[tokio::test]
async fn flipped_bits_give_a_data_failure_or_a_whole_file() {
    let pool = Pool::new(2);
    let (bytes, _) = small_file();
    let mut failed = 0;
    for at in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut broken = bytes.to_vec();
            broken[at] ^= 1 << bit;
            match read_on_pool(&pool, ParquetSource::Bytes(broken.into())).await {
                // What survives may differ in a value, as nothing guards the pages here, but never in its rows.
                Ok(blocks) => assert_eq!(blocks.iter().map(|block| block.records).sum::<u64>(), 50, "byte {at}"),
                Err(error) => {
                    assert_eq!(error.class, ErrorClass::Data, "byte {at}: {error}");
                    failed += 1;
                }
            }
        }
    }
    assert!(failed > 100, "flips have to be noticed: {failed}");
}

#[tokio::test]
async fn frames_that_lie_are_refused_by_name() {
    let (bytes, _) = small_file();
    let length = bytes.len();
    let with = |at: usize, patch: &[u8]| {
        let mut broken = bytes.to_vec();
        broken[at..at + patch.len()].copy_from_slice(patch);
        Bytes::from(broken)
    };
    let mut long = vec![0; 17 << 20];
    long[..4].copy_from_slice(b"PAR1");
    let tail = long.len() - 8;
    long[tail..].copy_from_slice(&[&((16u32 << 20) + 1).to_le_bytes()[..], b"PAR1"].concat());
    let cases = [
        (Bytes::from_static(b"PAR1PAR1"), "bad_footer", "too few"),
        (with(0, b"PAR2"), "bad_footer", "'PAR1'"),
        (with(length - 4, b"PARE"), "encrypted", "encrypted"),
        (with(length - 8, &u32::MAX.to_le_bytes()), "bad_footer", "claims 4294967295 bytes"),
        (Bytes::from(long), "bad_footer", "limit"),
        (Bytes::from_static(b"id,name\n1,2\n3,4\n"), "bad_footer", "no parquet file"),
    ];
    let pool = Pool::new(1);
    for (bytes, code, part) in cases {
        let error = read_on_pool(&pool, ParquetSource::Bytes(bytes)).await.expect_err("refused");
        assert_eq!((error.class, error.code), (ErrorClass::Data, code));
        assert!(error.message.contains(part), "{error}");
    }
}

/// The file with another footer, whose row groups claim `change` rows more or less, as does the whole.
pub fn with_row_lie(bytes: &Bytes, change: i64) -> Bytes {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(bytes).expect("a footer");
    let mut builder = metadata.clone().into_builder();
    let mut groups = builder.take_row_groups();
    let last = groups.pop().expect("a row group");
    let rows = last.num_rows() + change;
    groups.push(last.into_builder().set_num_rows(rows).build().expect("builds"));
    let file = metadata.file_metadata();
    let rows = file.num_rows() + change;
    let file = FileMetaData::new(file.version(), rows, None, None, file.schema_descr_ptr(), None);
    let lie = ParquetMetaDataBuilder::new(file).set_row_groups(groups).build();
    let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().expect("four bytes"));
    let mut out = bytes[..bytes.len() - 8 - footer as usize].to_vec();
    ParquetMetaDataWriter::new(&mut out, &lie).finish().expect("writes");
    out.into()
}

#[tokio::test]
async fn a_footer_that_lies_about_its_rows_is_held_to_them() {
    let pool = Pool::new(1);
    let (bytes, _) = small_file();
    let honest = read_on_pool(&pool, ParquetSource::Bytes(with_row_lie(&bytes, 0))).await.expect("reads");
    assert_eq!(honest.iter().map(|block| block.records).sum::<u64>(), 50);
    for change in [-1, 1, 1_000_000_000_000] {
        let answer = read_on_pool(&pool, ParquetSource::Bytes(with_row_lie(&bytes, change))).await;
        let error = answer.expect_err("a lie");
        assert_eq!((error.class, error.code), (ErrorClass::Data, "row_count"), "{change}: {error}");
    }
}
