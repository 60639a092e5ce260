//! The shop: drops one file of orders and one of page views at a time.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::generator::Generator;

/// The demo's files are the same on every machine, apart from their times.
const SEED: u64 = 20_240_229;
const ORDERS: &str = "orders";
const PAGE_VIEWS: &str = "page_views";

/// See the module.
pub struct Shop {
    bucket: PathBuf,
    generator: Generator,
    next: u32,
    rows: u32,
    /// Files in the bucket. One kind lacks a file if an earlier run was killed between two drops.
    files: u64,
}

impl Shop {
    /// Goes on after the files that are in the bucket already.
    ///
    /// # Errors
    /// If the bucket's folder cannot be read or written.
    pub fn open(bucket: &Path, rows: u32) -> io::Result<Self> {
        let (mut last, mut files) = (0, 0);
        for folder in [ORDERS, PAGE_VIEWS] {
            std::fs::create_dir_all(bucket.join(folder))?;
            for entry in std::fs::read_dir(bucket.join(folder))? {
                if let Some(number) = number_of(&entry?.file_name().to_string_lossy()) {
                    last = last.max(number);
                    files += 1;
                }
            }
        }
        Ok(Self { bucket: bucket.to_owned(), generator: Generator::new(SEED), next: last + 1, rows, files })
    }

    /// How many files of each kind were dropped, ever.
    pub fn dropped(&self) -> u32 {
        self.next - 1
    }

    /// How many files are in the bucket.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// Drops the next file of each kind.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn drop_files(&mut self, now: Timestamp) -> io::Result<()> {
        let number = self.next;
        let orders = self.generator.orders_csv(number, self.rows, now);
        self.drop_file(ORDERS, &format!("orders-{number:06}.csv"), &orders)?;
        let views = self.generator.page_views_parquet(number, 2 * self.rows, now).map_err(io::Error::other)?;
        self.drop_file(PAGE_VIEWS, &format!("page_views-{number:06}.parquet"), &views)?;
        self.next += 1;
        self.files += 2;
        Ok(())
    }

    /// Written beside its place and renamed: like S3, the bucket shows whole objects only.
    fn drop_file(&self, folder: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let folder = self.bucket.join(folder);
        let draft = folder.join(format!(".devcloud-{name}"));
        std::fs::write(&draft, bytes)?;
        std::fs::rename(draft, folder.join(name))
    }
}

fn number_of(name: &str) -> Option<u32> {
    let (kind, rest) = name.split_once('-')?;
    ([ORDERS, PAGE_VIEWS].contains(&kind)).then_some(())?;
    rest.split_once('.')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_goes_on_where_the_first_ended() {
        let bucket = tempfile::tempdir().expect("temp dir");
        let mut shop = Shop::open(bucket.path(), 3).expect("opens");
        shop.drop_files(Timestamp::UNIX_EPOCH).expect("drops");
        shop.drop_files(Timestamp::UNIX_EPOCH).expect("drops");
        let again = Shop::open(bucket.path(), 3).expect("opens");
        assert_eq!((again.dropped(), again.files()), (2, 4));
        assert!(bucket.path().join("orders/orders-000002.csv").exists());
        assert!(bucket.path().join("page_views/page_views-000002.parquet").exists());
    }
}
