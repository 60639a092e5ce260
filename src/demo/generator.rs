//! The web shop whose files the demo drops into its bucket.
//!
//! Orders come as CSV, page views as Parquet, both shaped like the real thing: a few customers and pages take most of
//! the traffic, nights are quiet, prices have a long tail, some fields are empty and some need quoting.
//!
//! A file depends on nothing but the seed, its number, its row count and its base time, so running the demo again
//! writes the same bytes again. To keep that true on every machine, the distributions are built from `+ - * /` only:
//! the results of `exp`, `ln` and `powf` may differ in the last digit from one platform to the next.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use fastrand::Rng;
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

/// Ids are `file_no * ROWS_PER_FILE + row`, so a file never holds more rows than this.
pub const ROWS_PER_FILE: u32 = 1_000_000;

/// Header of the orders files, in order.
pub const ORDER_COLUMNS: [&str; 8] =
    ["order_id", "customer_id", "placed_at", "country", "items", "amount", "currency", "coupon"];

const MILLIS_PER_HOUR: i64 = 3_600_000;
const MILLIS_PER_DAY: i64 = 24 * MILLIS_PER_HOUR;

/// How busy the shop is in each hour of the day (UTC), relative to its busiest hour (100).
const BUSY: [u32; 24] = [14, 9, 6, 5, 5, 8, 17, 31, 46, 57, 64, 70, 77, 72, 66, 65, 69, 78, 90, 100, 97, 79, 50, 27];

/// Country, its currency, and its share of the orders in percent.
const COUNTRIES: [(&str, &str, u32); 10] = [
    ("DE", "EUR", 31),
    ("FR", "EUR", 17),
    ("GB", "GBP", 14),
    ("ES", "EUR", 10),
    ("IT", "EUR", 8),
    ("NL", "EUR", 7),
    ("PL", "PLN", 5),
    ("SE", "SEK", 4),
    ("CH", "CHF", 3),
    ("US", "USD", 1),
];

/// One order in this many carries a coupon.
const ORDERS_PER_COUPON: u32 = 12;

/// Some of them cannot be written into a CSV file without quotes.
const COUPONS: [&str; 6] = ["WELCOME10", "FREESHIP", "GRÜSSE15", "BUY 2, GET 1", "\"LUCKY\" 5%", "TODAY ONLY, \"VIP\""];

const CUSTOMERS: usize = 20_000;
const PRODUCTS: usize = 400;
const MEDIAN_PRICE_CENTS: f64 = 2_490.0;
const MEDIAN_VIEW_MILLIS: f64 = 18_000.0;

/// Pages other than products, most visited first.
const PAGES: [&str; 12] = [
    "/",
    "/search",
    "/cart",
    "/c/shoes",
    "/c/jackets",
    "/c/bags",
    "/checkout",
    "/account",
    "/c/sale",
    "/returns",
    "/about",
    "/imprint",
];

/// Where a session's first view comes from; `None` is a typed-in address.
const ENTRANCES: [(Option<&str>, u32); 5] = [
    (None, 38),
    (Some("https://www.google.com/"), 34),
    (Some("https://news.example/?utm_source=letter&utm_campaign=spring"), 14),
    (Some("https://www.bing.com/"), 8),
    (Some("https://social.example/"), 6),
];

/// Visitors that click at the same time.
const OPEN_SESSIONS: usize = 40;

/// Makes the demo's files.
#[derive(Clone, Debug)]
pub struct Generator {
    seed: u64,
    customers: Zipf,
    paths: Zipf,
}

/// What a file's random numbers are for. Each purpose draws from its own sequence.
#[derive(Clone, Copy)]
enum Stream {
    Orders,
    PageViews,
}

impl Generator {
    /// Generators of the same seed make the same files.
    pub fn new(seed: u64) -> Self {
        Self { seed, customers: Zipf::new(CUSTOMERS), paths: Zipf::new(PAGES.len() + PRODUCTS) }
    }

    /// Orders placed in the 24 hours before `base_time`, oldest first, as CSV with a header ([`ORDER_COLUMNS`]).
    ///
    /// `order_id` is unique over all files; more than [`ROWS_PER_FILE`] rows are cut to that.
    pub fn orders_csv(&self, file_no: u32, rows: u32, base_time: Timestamp) -> Vec<u8> {
        self.write_orders(file_no, rows, base_time).expect("a Vec takes every write, and each record has 8 fields")
    }

    fn write_orders(&self, file_no: u32, rows: u32, base_time: Timestamp) -> Result<Vec<u8>, csv::Error> {
        let mut rng = self.rng(Stream::Orders, file_no);
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(ORDER_COLUMNS)?;
        for (id, placed_at) in ids(file_no).zip(instants(&mut rng, rows, base_time)) {
            let (country, currency) = country(&mut rng);
            let items = geometric(&mut rng, 0.45, 40);
            let cents = f64::from(items) * MEDIAN_PRICE_CENTS * skewed(&mut rng);
            writer.write_record([
                id.to_string().as_str(),
                self.customer(&mut rng).to_string().as_str(),
                datetime(placed_at).as_str(),
                country,
                items.to_string().as_str(),
                amount(cents).as_str(),
                currency,
                coupon(&mut rng),
            ])?;
        }
        writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
    }

    /// Views of the shop's pages in the 24 hours before `base_time`, oldest first, as Parquet ([`view_schema`]).
    ///
    /// `view_id` is unique over all files; more than [`ROWS_PER_FILE`] rows are cut to that.
    ///
    /// # Errors
    /// What the Parquet writer reports. Writing to memory gives it no reason to.
    pub fn page_views_parquet(&self, file_no: u32, rows: u32, base_time: Timestamp) -> Result<Vec<u8>, ParquetError> {
        let batch = self.page_views(file_no, rows, base_time)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by("s3-connector demo".to_owned())
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        writer.into_inner()
    }

    fn page_views(&self, file_no: u32, rows: u32, base_time: Timestamp) -> Result<RecordBatch, ParquetError> {
        let mut rng = self.rng(Stream::PageViews, file_no);
        let mut columns = ViewColumns::default();
        let mut open: Vec<Session> = Vec::with_capacity(OPEN_SESSIONS);
        for (id, millis) in ids(file_no).zip(instants(&mut rng, rows, base_time)) {
            let path = self.path(&mut rng);
            let viewed_at = millis * 1_000 + rng.i64(0..1_000);
            let session = next_session(&mut rng, &mut open);
            let duration = MEDIAN_VIEW_MILLIS * skewed(&mut rng);
            columns.push(id, viewed_at, session, &path, duration as i32);
            session.referrer = Some(path);
        }
        Ok(RecordBatch::try_new(view_schema(), columns.finish())?)
    }

    fn rng(&self, stream: Stream, file_no: u32) -> Rng {
        let purpose = match stream {
            Stream::Orders => 0u64,
            Stream::PageViews => 1 << 32,
        };
        // The factor keeps neighbouring seeds from sharing sequences, the fork keeps neighbouring files from it.
        let seed = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ purpose ^ u64::from(file_no);
        Rng::with_seed(seed).fork()
    }

    /// Ids are scattered, so that the best customers are not simply the first ones.
    fn customer(&self, rng: &mut Rng) -> usize {
        const STEP: usize = 7_919;
        10_000 + self.customers.rank(rng) * STEP % CUSTOMERS
    }

    fn path(&self, rng: &mut Rng) -> String {
        let rank = self.paths.rank(rng);
        match PAGES.get(rank) {
            Some(page) => (*page).to_owned(),
            None => format!("/p/{}", 1_000 + rank - PAGES.len()),
        }
    }
}

/// Draws ranks of which the k-th comes up with a probability proportional to `1 / k`.
#[derive(Clone, Debug)]
struct Zipf {
    /// Running sums of the weights.
    sums: Vec<f64>,
}

impl Zipf {
    fn new(ranks: usize) -> Self {
        let weights = (1..=ranks).map(|rank| 1.0 / rank as f64);
        let sums = weights
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        Self { sums }
    }

    /// A rank, counted from 0.
    fn rank(&self, rng: &mut Rng) -> usize {
        let total = self.sums.last().copied().unwrap_or(0.0);
        let drawn = rng.f64() * total;
        self.sums.partition_point(|sum| *sum <= drawn).min(self.sums.len().saturating_sub(1))
    }
}

/// A visitor while he clicks.
struct Session {
    id: String,
    is_mobile: bool,
    /// The page that he comes from.
    referrer: Option<String>,
}

impl Session {
    fn new(rng: &mut Rng) -> Self {
        let entrance = weighted(rng, ENTRANCES.iter().map(|(_, share)| *share));
        Self {
            id: format!("{:016x}", rng.u64(..)),
            is_mobile: rng.u32(..100) < 62,
            referrer: ENTRANCES[entrance].0.map(str::to_owned),
        }
    }
}

/// The session that clicks next: a new one in a third of all cases, so that a visit has about three views.
fn next_session<'a>(rng: &mut Rng, open: &'a mut Vec<Session>) -> &'a mut Session {
    let slot = rng.usize(..OPEN_SESSIONS);
    if slot >= open.len() {
        open.push(Session::new(rng));
        let last = open.len() - 1;
        return &mut open[last];
    }
    if rng.u32(..100) < 33 {
        open[slot] = Session::new(rng);
    }
    &mut open[slot]
}

/// The columns of a page view file while they grow.
#[derive(Default)]
struct ViewColumns {
    view_id: Int64Builder,
    session_id: StringBuilder,
    viewed_at: TimestampMicrosecondBuilder,
    path: StringBuilder,
    referrer: StringBuilder,
    duration_ms: Int32Builder,
    is_mobile: BooleanBuilder,
}

impl ViewColumns {
    fn push(&mut self, id: i64, viewed_at: i64, session: &Session, path: &str, duration_ms: i32) {
        self.view_id.append_value(id);
        self.session_id.append_value(&session.id);
        self.viewed_at.append_value(viewed_at);
        self.path.append_value(path);
        self.referrer.append_option(session.referrer.as_deref());
        self.duration_ms.append_value(duration_ms);
        self.is_mobile.append_value(session.is_mobile);
    }

    fn finish(mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.view_id.finish()),
            Arc::new(self.session_id.finish()),
            Arc::new(self.viewed_at.finish().with_timezone("UTC")),
            Arc::new(self.path.finish()),
            Arc::new(self.referrer.finish()),
            Arc::new(self.duration_ms.finish()),
            Arc::new(self.is_mobile.finish()),
        ]
    }
}

/// Columns of the page view files. Only `referrer` may be null.
pub fn view_schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("view_id", DataType::Int64, false),
        Field::new("session_id", DataType::Utf8, false),
        Field::new("viewed_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("path", DataType::Utf8, false),
        Field::new("referrer", DataType::Utf8, true),
        Field::new("duration_ms", DataType::Int32, false),
        Field::new("is_mobile", DataType::Boolean, false),
    ]))
}

fn ids(file_no: u32) -> impl Iterator<Item = i64> {
    let first = i64::from(file_no) * i64::from(ROWS_PER_FILE);
    first..first + i64::from(ROWS_PER_FILE)
}

/// `count` instants of the day before `base_time` in milliseconds since 1970, ascending, more of them in busy hours.
fn instants(rng: &mut Rng, count: u32, base_time: Timestamp) -> Vec<i64> {
    let end = base_time.as_millisecond();
    let mut drawn: Vec<i64> = (0..count.min(ROWS_PER_FILE)).map(|_| instant(rng, end)).collect();
    drawn.sort_unstable();
    drawn
}

/// Draws evenly and throws away, which gives each hour its share wherever the day begins.
fn instant(rng: &mut Rng, end: i64) -> i64 {
    loop {
        let millis = end - 1 - rng.i64(0..MILLIS_PER_DAY);
        let hour = millis.div_euclid(MILLIS_PER_HOUR).rem_euclid(24);
        if rng.u32(..100) < BUSY[hour as usize] {
            return millis;
        }
    }
}

/// `YYYY-MM-DD HH:MM:SS.mmm` in UTC.
fn datetime(millis: i64) -> String {
    let instant = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH);
    instant.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// Whole cents with two digits after the point; at least one cent, and within `Decimal(10, 2)`.
fn amount(cents: f64) -> String {
    let cents = (cents as i64).clamp(1, 9_999_999_999);
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn country(rng: &mut Rng) -> (&'static str, &'static str) {
    let (country, currency, _) = COUNTRIES[weighted(rng, COUNTRIES.iter().map(|(_, _, share)| *share))];
    (country, currency)
}

fn coupon(rng: &mut Rng) -> &'static str {
    if rng.u32(..ORDERS_PER_COUPON) > 0 { "" } else { COUPONS[rng.usize(..COUPONS.len())] }
}

/// The index of one of the weights, each as likely as it is heavy.
fn weighted(rng: &mut Rng, weights: impl Iterator<Item = u32> + Clone) -> usize {
    let mut left = rng.u32(..weights.clone().sum::<u32>());
    for (index, weight) in weights.enumerate() {
        match left.checked_sub(weight) {
            Some(rest) => left = rest,
            None => return index,
        }
    }
    0
}

/// 1, and one more for each time that luck (`again`) holds.
fn geometric(rng: &mut Rng, again: f64, most: u32) -> u32 {
    let mut count = 1;
    while count < most && rng.f64() < again {
        count += 1;
    }
    count
}

/// A factor with median 1 and a long tail to the right: its logarithm is a sum of four symmetric numbers (standard
/// deviation about 0.78), so it comes close to a log-normal one.
fn skewed(rng: &mut Rng) -> f64 {
    let mut product = 1.0;
    for _ in 0..4 {
        let even = rng.f64();
        product *= (1.0 + even) / (2.0 - even);
    }
    product
}

#[cfg(test)]
#[path = "generator_tests.rs"]
mod tests;
