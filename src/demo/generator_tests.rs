//! The demo's files are the same each time, parse back, and look like a shop's.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use jiff::civil::DateTime;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

const ROWS: u32 = 20_000;

fn base_time() -> Timestamp {
    "2026-03-05T09:30:00Z".parse().expect("a time")
}

struct Order {
    id: i64,
    customer: i64,
    placed_at: Timestamp,
    country: String,
    items: i32,
    cents: i64,
    currency: String,
    coupon: String,
}

/// Reads an orders file with another parser state than the one that wrote it, strict about every column.
fn orders(bytes: &[u8]) -> Vec<Order> {
    let mut reader = csv::Reader::from_reader(bytes);
    assert_eq!(reader.headers().expect("a header").iter().collect::<Vec<_>>(), ORDER_COLUMNS);
    let parse = |record: csv::StringRecord| {
        let (whole, cents) = record[5].split_once('.').expect("a decimal point");
        assert!(cents.len() == 2 && whole.len() <= 8, "{} is not Decimal(10, 2)", &record[5]);
        assert_eq!(record[2].len(), "2026-03-05 09:30:00.000".len());
        Order {
            id: record[0].parse().expect("order_id"),
            customer: record[1].parse().expect("customer_id"),
            placed_at: record[2]
                .parse::<DateTime>()
                .expect("placed_at")
                .to_zoned(jiff::tz::TimeZone::UTC)
                .expect("UTC")
                .timestamp(),
            country: record[3].to_owned(),
            items: record[4].parse().expect("items"),
            cents: format!("{whole}{cents}").parse().expect("amount"),
            currency: record[6].to_owned(),
            coupon: record[7].to_owned(),
        }
    };
    reader.records().map(|record| parse(record.expect("a whole record"))).collect()
}

fn views(bytes: Vec<u8>) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("a Parquet file");
    assert_eq!(reader.schema().fields(), view_schema().fields());
    let batches: Vec<RecordBatch> = reader.build().expect("a reader").map(|batch| batch.expect("rows")).collect();
    arrow::compute::concat_batches(&view_schema(), &batches).expect("one schema")
}

fn counts<T: std::hash::Hash + Eq>(values: impl Iterator<Item = T>) -> Vec<usize> {
    let mut counts: HashMap<T, usize> = HashMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    let mut counts: Vec<usize> = counts.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts
}

#[test]
fn the_same_file_is_the_same_bytes_and_another_one_is_not() {
    let (one, again, other) = (Generator::new(6), Generator::new(6), Generator::new(7));
    one.orders_csv(9, 10, base_time());
    assert_eq!(one.orders_csv(3, 500, base_time()), again.orders_csv(3, 500, base_time()));
    let parquet = |generator: &Generator, file| generator.page_views_parquet(file, 500, base_time()).expect("a file");
    assert_eq!(parquet(&one, 3), parquet(&again, 3));
    assert_ne!(parquet(&one, 3), parquet(&other, 3));
    // Beyond the ids, files share nothing: not with the next file, and not with the next seed's previous file.
    let amounts = |generator: &Generator, file| -> Vec<i64> {
        orders(&generator.orders_csv(file, 500, base_time())).iter().map(|order| order.cents).collect()
    };
    let files = [amounts(&one, 3), amounts(&one, 4), amounts(&other, 3), amounts(&other, 2), amounts(&other, 4)];
    assert_eq!(files.iter().collect::<HashSet<_>>().len(), files.len());
}

#[test]
fn a_known_file_keeps_its_bytes() {
    let file = String::from_utf8(Generator::new(1).orders_csv(2, 3, base_time())).expect("UTF-8");
    let expected = "order_id,customer_id,placed_at,country,items,amount,currency,coupon\n\
        2000000,28380,2026-03-04 14:22:07.303,PL,1,29.35,PLN,\"\"\"LUCKY\"\" 5%\"\n\
        2000001,27784,2026-03-04 17:57:40.166,DE,1,26.45,EUR,\n\
        2000002,21271,2026-03-05 08:53:51.809,ES,2,21.66,EUR,\n";
    assert_eq!(file, expected);
}

/// The columns that a data source of the shipped config declares, read without its grammar.
fn declared_columns(data_source: &str) -> Vec<String> {
    let path = format!("{}/config/datasources/{data_source}.datasource", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a data source of the shipped config");
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix('`')?.split_once('`'));
    lines.map(|(column, _)| column.to_owned()).collect()
}

#[test]
fn the_files_have_the_columns_of_the_shipped_config() {
    assert_eq!(declared_columns("orders"), ORDER_COLUMNS);
    let declared = declared_columns("page_views");
    let schema = view_schema();
    let written: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert!(declared.is_empty() || declared == written, "{declared:?} are declared, {written:?} are written");
}

#[test]
fn ids_are_unique_over_all_files() {
    let generator = Generator::new(1);
    let mut seen = HashSet::new();
    for file in 0..20 {
        let orders = orders(&generator.orders_csv(file, 300, base_time()));
        assert_eq!(orders.len(), 300);
        assert_eq!(orders[0].id, i64::from(file) * 1_000_000);
        orders.iter().for_each(|order| assert!(seen.insert(order.id), "order {} twice", order.id));
    }
    seen.clear();
    for file in 0..20 {
        let views = views(generator.page_views_parquet(file, 300, base_time()).expect("a file"));
        let ids = views["view_id"].as_primitive::<Int64Type>();
        ids.values().iter().for_each(|id| assert!(seen.insert(*id), "view {id} twice"));
    }
    assert_eq!(seen.len(), 20 * 300);
}

#[test]
fn a_file_never_grows_into_the_ids_of_the_next_one() {
    let rows = instants(&mut Rng::with_seed(1), ROWS_PER_FILE + 5, base_time()).len();
    assert_eq!(rows as u32, ROWS_PER_FILE);
    assert_eq!(ids(7).last().map(|id| id + 1), ids(8).next());
    assert_eq!(ids(u32::MAX).next(), Some(i64::from(u32::MAX) * 1_000_000));
}

#[test]
fn no_rows_make_a_whole_file_all_the_same() {
    let generator = Generator::new(1);
    assert_eq!(generator.orders_csv(1, 0, base_time()), format!("{}\n", ORDER_COLUMNS.join(",")).into_bytes());
    assert_eq!(views(generator.page_views_parquet(1, 0, base_time()).expect("a file")).num_rows(), 0);
}

#[test]
fn orders_follow_the_day_and_stay_in_it() {
    let orders = orders(&Generator::new(1).orders_csv(1, ROWS, base_time()));
    assert!(orders.is_sorted_by_key(|order| order.placed_at));
    let begin = base_time() - jiff::SignedDuration::from_hours(24);
    assert!(orders.iter().all(|order| (begin..base_time()).contains(&order.placed_at)));
    let mut by_hour = [0u32; 24];
    orders.iter().for_each(|order| by_hour[order.placed_at.as_second().rem_euclid(86_400) as usize / 3_600] += 1);
    let total: u32 = BUSY.iter().sum();
    for (hour, found) in by_hour.iter().enumerate() {
        let expected = f64::from(ROWS * BUSY[hour]) / f64::from(total);
        let off = (f64::from(*found) - expected).abs();
        assert!(off < 5.0 * expected.sqrt(), "hour {hour}: {found} orders, not about {expected:.0}");
    }
}

#[test]
fn a_few_customers_place_most_orders() {
    let orders = orders(&Generator::new(1).orders_csv(1, ROWS, base_time()));
    let counts = counts(orders.iter().map(|order| order.customer));
    let top: usize = counts.iter().take(CUSTOMERS / 100).sum();
    assert!(top as f64 > 0.5 * f64::from(ROWS), "the top 1 % placed {top} orders");
    assert!(counts.len() > 4_000, "only {} customers", counts.len());
    assert!((8..=12).contains(&(counts[0] / counts[9])), "{:?}", &counts[..10]);
}

#[test]
fn countries_items_amounts_and_coupons_have_their_shape() {
    let orders = orders(&Generator::new(1).orders_csv(1, ROWS, base_time()));
    let share = |matches: &dyn Fn(&Order) -> bool| {
        orders.iter().filter(|order| matches(order)).count() as f64 / f64::from(ROWS)
    };
    assert!((share(&|order| order.country == "DE") - 0.31).abs() < 0.02);
    assert!((share(&|order| order.country == "US") - 0.01).abs() < 0.005);
    assert!(orders.iter().all(|order| COUNTRIES.iter().any(|(c, e, _)| order.country == *c && order.currency == *e)));
    assert!((share(&|order| order.items == 1) - 0.55).abs() < 0.02);
    assert!((share(&|order| order.items == 2) - 0.2475).abs() < 0.02);
    let mut unit: Vec<i64> = orders.iter().map(|order| order.cents / i64::from(order.items)).collect();
    unit.sort_unstable();
    let (median, mean) = (unit[unit.len() / 2] as f64, unit.iter().sum::<i64>() as f64 / unit.len() as f64);
    assert!((median / MEDIAN_PRICE_CENTS - 1.0).abs() < 0.04, "median {median}");
    assert!((1.2..1.6).contains(&(mean / median)), "a long tail pulls the mean up: {mean} over {median}");
    assert!((share(&|order| !order.coupon.is_empty()) - 1.0 / 12.0).abs() < 0.01);
    let coupons: HashSet<&str> = orders.iter().map(|order| order.coupon.as_str()).filter(|c| !c.is_empty()).collect();
    assert_eq!(coupons, COUPONS.into_iter().collect());
}

#[test]
fn coupons_exercise_quoting() {
    let file = String::from_utf8(Generator::new(1).orders_csv(1, ROWS, base_time())).expect("UTF-8");
    for quoted in ["\"BUY 2, GET 1\"", "\"\"\"LUCKY\"\" 5%\"", "\"TODAY ONLY, \"\"VIP\"\"\""] {
        assert!(file.contains(quoted), "{quoted} is missing");
    }
    // What is not there is an empty cell without quotes, which reads as NULL.
    assert!(file.contains(",\n") && !file.contains(",\"\"\n"));
}

#[test]
fn page_views_look_like_visits() {
    let views = views(Generator::new(1).page_views_parquet(1, ROWS, base_time()).expect("a file"));
    let times = views["viewed_at"].as_primitive::<TimestampMicrosecondType>();
    let end = base_time().as_microsecond();
    assert!(times.values().iter().all(|time| (end - MILLIS_PER_DAY * 1_000..end).contains(time)));
    assert!(times.values().is_sorted_by_key(|micros| micros / 1_000));
    let sessions = counts(views["session_id"].as_string::<i32>().iter());
    let views_per_session = f64::from(ROWS) / sessions.len() as f64;
    assert!((2.5..3.5).contains(&views_per_session), "{views_per_session} views a session");
    let paths = counts(views["path"].as_string::<i32>().iter());
    assert!(paths.len() > 400, "{} paths", paths.len());
    assert!((8..=12).contains(&(paths[0] / paths[9])), "{:?}", &paths[..10]);
    let referrers = views["referrer"].as_string::<i32>();
    let direct = referrers.null_count() as f64 / sessions.len() as f64;
    assert!((direct - 0.38).abs() < 0.03, "{direct} of the sessions came without referrer");
    let durations = views["duration_ms"].as_primitive::<Int32Type>();
    assert!(durations.values().iter().all(|millis| (1_000..=300_000).contains(millis)));
    let mobile = views["is_mobile"].as_boolean().true_count() as f64 / f64::from(ROWS);
    assert!((mobile - 0.62).abs() < 0.03, "{mobile}");
}

#[test]
fn a_session_walks_from_page_to_page() {
    let views = views(Generator::new(1).page_views_parquet(1, 2_000, base_time()).expect("a file"));
    let (sessions, paths) = (views["session_id"].as_string::<i32>(), views["path"].as_string::<i32>());
    let (referrers, mobile) = (views["referrer"].as_string::<i32>(), views["is_mobile"].as_boolean());
    let mut last: HashMap<&str, (&str, bool)> = HashMap::new();
    for row in 0..views.num_rows() {
        if let Some((page, is_mobile)) = last.insert(sessions.value(row), (paths.value(row), mobile.value(row))) {
            assert_eq!(referrers.value(row), page);
            assert_eq!(mobile.value(row), is_mobile);
        }
    }
}
