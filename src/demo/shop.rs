//! The shop: drops one file of orders and one of page views at a time. Not all is well in it: some orders are damaged, and
//! one day their files get another column.

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
        let orders = as_the_shop_writes_them(number, self.generator.orders_csv(number, self.rows, now));
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

/// Every so many files the shop writes an order that does not fit.
const DAMAGE_EVERY: u32 = 3;
/// From this file on it writes one more column.
const CHANNEL_SINCE: u32 = 5;

/// Orders as a real shop writes them: now and then one whose number of items is a word, and from some day on with a new
/// column. No value of an order has a line end.
fn as_the_shop_writes_them(number: u32, orders: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&orders);
    let damaged = number.is_multiple_of(DAMAGE_EVERY).then_some(1);
    let mut written = String::with_capacity(text.len() * 2);
    for (line_number, line) in text.lines().enumerate() {
        let mut line = line.to_owned();
        if Some(line_number) == damaged {
            let fields: Vec<&str> = line.splitn(6, ',').collect();
            line = [&fields[..4], &["a dozen"], &fields[5..]].concat().join(",");
        }
        if number >= CHANNEL_SINCE {
            line += match line_number {
                0 => ",channel",
                even if even % 2 == 0 => ",web",
                _ => ",app",
            };
        }
        written += &line;
        written.push('\n');
    }
    written.into_bytes()
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
    fn some_orders_do_not_fit_and_later_files_have_one_more_column() {
        let written = |number| {
            let orders = Generator::new(SEED).orders_csv(number, 4, Timestamp::UNIX_EPOCH);
            let text = as_the_shop_writes_them(number, orders);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_slice());
            reader.records().map(|record| record.expect("as long as the header")).collect::<Vec<_>>()
        };
        let items = |number| written(number).iter().map(|record| record[4].to_owned()).collect::<Vec<_>>();
        assert_eq!((&*items(3)[0], &*items(3)[1]), ("items", "a dozen"));
        assert!(items(4)[1..].iter().all(|items| items.parse::<i32>().is_ok()));
        assert_eq!((written(4)[0].len(), &written(5)[0][8], &written(5)[1][8]), (8, "channel", "app"));
    }

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
