use super::*;

fn cron(text: &str) -> Cron {
    Cron::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

#[test]
fn the_next_time_is_the_first_behind_that_the_fields_name() {
    for (text, after, next) in [
        ("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
        ("* * * * *", "2026-01-01T00:00:59.999Z", "2026-01-01T00:01:00Z"),
        ("*/15 * * * *", "2026-01-01T00:45:00Z", "2026-01-01T01:00:00Z"),
        ("0 3 * * *", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"),
        ("0 3 * * *", "2026-01-01T02:59:59Z", "2026-01-01T03:00:00Z"),
        ("30 23 31 12 *", "2026-12-31T23:30:00Z", "2027-12-31T23:30:00Z"),
        ("0 0 29 2 *", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"),
        ("0 9 * * MON", "2026-11-20T10:00:00Z", "2026-11-23T09:00:00Z"),
        ("0 9 * * 7", "2026-11-20T10:00:00Z", "2026-11-22T09:00:00Z"),
        ("0 9 * * sun-tue", "2026-11-20T10:00:00Z", "2026-11-22T09:00:00Z"),
        ("0 9 * * sat-SUN", "2026-11-21T10:00:00Z", "2026-11-22T09:00:00Z"),
        ("0 9 * * mon-sun/6", "2026-11-23T10:00:00Z", "2026-11-29T09:00:00Z"),
        // Both days restricted: either is enough.
        ("0 0 13 * 5", "2026-11-12T00:00:00Z", "2026-11-13T00:00:00Z"),
        ("0 0 1 * 1", "2026-11-24T00:00:00Z", "2026-11-30T00:00:00Z"),
        ("5,10-12/2 8-9 * jan,Mar *", "2026-01-31T09:12:00Z", "2026-03-01T08:05:00Z"),
    ] {
        assert_eq!(cron(text).next_after(at(after)), Some(at(next)), "{text} behind {after}");
    }
    assert_eq!(cron(" 0   3 * *  * ").as_str(), "0 3 * * *");
}

/// Minute by minute, by the words of the manual.
fn is_time(text: &str, time: Timestamp) -> bool {
    let fields: Vec<&str> = text.split(' ').collect();
    let civil = TimeZone::UTC.to_datetime(time);
    let weekday = civil.weekday().to_sunday_zero_offset();
    let holds = |index: usize, value: i8| {
        fields[index].split(',').any(|item| {
            let (range, step) =
                item.split_once('/').map_or((item, 1), |(range, step)| (range, step.parse().expect("step")));
            let (low, high) = match range.split_once('-') {
                _ if range == "*" => (if matches!(index, 2 | 3) { 1 } else { 0 }, 99),
                Some((low, high)) => (low.parse().expect("low"), high.parse().expect("high")),
                None => (range.parse().expect("number"), range.parse().expect("number")),
            };
            (low..=high).contains(&value) && (value - low) % step == 0
        })
    };
    let (day, week) = (holds(2, civil.day()), holds(4, weekday));
    let days = if fields[2].starts_with('*') || fields[4].starts_with('*') { day && week } else { day || week };
    holds(0, civil.minute()) && holds(1, civil.hour()) && holds(3, civil.month()) && days
}

#[test]
fn no_time_is_passed_over_and_none_is_made_up() {
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..60 {
        let day = format!("{}-{}", 1 + random.u8(..9), 10 + random.u8(..20));
        let texts = [
            format!("*/{} {} * * *", 7 + random.u8(..40), random.u8(..24)),
            format!("{} {}-{} {day} * {}", random.u8(..60), random.u8(..8), 8 + random.u8(..9), random.u8(..7)),
            format!("{},{} * {day} * *", random.u8(..30), 30 + random.u8(..30)),
        ];
        let text = &texts[round % texts.len()];
        let cron = cron(text);
        let start = at("2024-02-27T00:00:00Z");
        let mut expected = (1..=4 * 24 * 60).map(|minutes| start + SignedDuration::from_mins(minutes));
        let mut now = start;
        while let Some(next) = cron.next_after(now).filter(|next| *next <= start + SignedDuration::from_hours(96)) {
            assert_eq!(expected.find(|time| is_time(text, *time)), Some(next), "{text}");
            now = next;
        }
        assert_eq!(expected.find(|time| is_time(text, *time)), None, "{text}");
    }
}

#[test]
fn what_is_no_cron_expression_is_refused_at_its_field() {
    for (text, offset, reason) in [
        ("", 0, "here are 0"),
        ("* * * *", 0, "here are 4"),
        ("0 0 * * * 2026", 10, "here are 6"),
        ("60 * * * *", 0, "'60' is no minute: it is 0 to 59"),
        ("0 24 * * *", 2, "is no hour"),
        ("0 0 0 * *", 4, "is no day of month: it is 1 to 31"),
        ("0 0 1,32 * *", 6, "'32' is no day of month"),
        ("0 0 * foo *", 6, "is no month: it is 1 to 12, or jan to dec"),
        ("0 0 * * 8", 8, "is no day of week"),
        ("5/15 * * * *", 0, "such as 5-59/15"),
        ("*/0 * * * *", 0, "a step is a whole number"),
        ("*/99 * * * *", 0, "a step is a whole number"),
        ("9-5 * * * *", 0, "ends before it begins"),
        ("0 0 * * fri-tue", 8, "ends before it begins"),
        ("1,,2 * * * *", 2, "'' is no minute"),
        ("0 0 30 2 *", 4, "never come"),
        ("0 0 31 4,6,9,11 *", 4, "never come"),
        ("0 0 L * *", 4, "'L' is no day of month"),
        ("-1 * * * *", 0, "'-1' is no minute"),
    ] {
        let error = Cron::parse(text).expect_err(text);
        assert_eq!(error.offset, offset, "{text}: {error}");
        assert!(error.message.contains(reason), "{text}: {error}");
    }
}

#[test]
fn a_time_that_came_meanwhile_is_noticed() {
    let daily = cron("0 3 * * *");
    assert!(!daily.came_between(at("2026-01-01T03:00:00Z"), at("2026-01-02T02:59:59Z")));
    assert!(daily.came_between(at("2026-01-01T03:00:00Z"), at("2026-01-02T03:00:00Z")));
    assert!(daily.came_between(at("2026-01-01T02:00:00Z"), at("2026-03-02T03:00:00Z")));
    assert_eq!(daily.wait(at("2026-01-01T02:59:00Z")), SignedDuration::from_mins(1));
    assert_eq!(daily.next_after(Timestamp::MAX), None);
}
