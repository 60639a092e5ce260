//! Datafiles without errors, made at random, in every layout that the grammar allows; and what tests ask of any file.

use connector_datafile::{Diagnostic, SourceFile, parse_connection, parse_datasource};

/// A sequence of numbers that depends on its seed and nothing else (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `limit`, or 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit.max(1) as u64) as usize
    }

    pub fn one_of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Writes a file, directive by directive.
struct Writer<'r> {
    random: &'r mut Random,
    out: Vec<String>,
    comments: usize,
}

impl Writer<'_> {
    /// Blank lines and comments, perhaps.
    fn between(&mut self) {
        while self.random.once_in(3) {
            let line = match self.random.below(3) {
                0 => self.random.one_of(&["", "   ", "\t"]).to_owned(),
                1 => self.comment(),
                _ => format!("#{}", self.comment()),
            };
            self.out.push(line);
        }
    }

    /// Each comment has its number, so that it can be found again.
    fn comment(&mut self) -> String {
        self.comments += 1;
        let what = self.random.one_of(&["why", "ENGINE x", "it's \"so\"", "größer > 3, `a`", "{{"]);
        format!("# c{}: {what}", self.comments)
    }

    fn name(&mut self, name: &str) -> String {
        match self.random.below(4) {
            0 => name.to_lowercase(),
            1 => name.chars().enumerate().map(|(at, c)| if at % 2 == 0 { c } else { c.to_ascii_lowercase() }).collect(),
            _ => name.to_owned(),
        }
    }

    fn line(&mut self, name: &str, value: &str) {
        self.between();
        let mut line = self.name(name);
        line.push_str(self.random.one_of(&[" ", "  ", "\t", " \t "]));
        let bare = !value.is_empty() && !value.contains([' ', '#', '"', '\'', '\\', '>', '{']);
        match self.random.below(3) {
            0 if bare => line.push_str(value),
            1 if !value.contains('\'') => line.push_str(&format!("'{value}'")),
            _ => line.push_str(&format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))),
        }
        self.end(line);
    }

    /// As it stands, without quotes of ours.
    fn raw(&mut self, name: &str, value: &str) {
        self.between();
        let line = format!("{} {value}", self.name(name));
        self.end(line);
    }

    fn end(&mut self, mut line: String) {
        if self.random.once_in(4) {
            line.push_str(self.random.one_of(&[" ", "   ", "\t"]));
            let comment = self.comment();
            line.push_str(&comment);
        } else if self.random.once_in(6) {
            line.push_str("  ");
        }
        self.out.push(line);
    }

    fn block(&mut self, name: &str, lines: &[String]) {
        self.between();
        let head = format!("{}{}>", self.name(name), self.random.one_of(&[" ", "", "  "]));
        self.end(head);
        let indent = self.random.one_of(&["    ", "  ", "\t", "\t\t", "\u{3000}"]);
        for line in lines {
            if self.random.once_in(8) {
                let comment = self.comment();
                self.out.push(comment);
            }
            if self.random.once_in(8) {
                self.out.push(String::new());
            }
            let behind = self.random.one_of(&["", "", "", "  "]);
            self.out.push(format!("{indent}{line}{behind}"));
        }
    }
}

const COLUMNS: [&str; 16] = [
    "`order_id` UInt64 `json:$.id`",
    "placed_at DateTime64(3) `json:$.at` DEFAULT now64(3)",
    "`note` Nullable(String)",
    "skus Array(String) `json:$.lines[:].sku` CODEC(ZSTD(1))",
    "amount Decimal(10, 2) DEFAULT 0",
    "country LowCardinality(String) DEFAULT 'n/a, -- #'",
    "`odd name, (here)` Int32",
    "day Date DEFAULT toDate(placed_at)",
    "kind Enum8('a' = 1, 'b' = 2) CODEC(LZ4)",
    "ratio Float64",
    "flag Bool DEFAULT false",
    "ip IPv4",
    "uid UUID",
    "code FixedString(2)",
    "version UInt32 CODEC(Delta, ZSTD)",
    "sign Int8",
];

/// The lines of SCHEMA, and whether a column is among them.
fn schema(random: &mut Random) -> (Vec<String>, Vec<usize>) {
    // The columns that others refer to come first.
    let mut chosen = vec![0, 1];
    chosen.extend((2..COLUMNS.len()).filter(|_| random.once_in(2)));
    let mut lines = Vec::new();
    let mut line = String::new();
    for (at, column) in chosen.iter().enumerate() {
        let mut text = COLUMNS[*column].to_owned();
        if random.once_in(6) {
            text = text.replace(" DEFAULT ", "\n DEFAULT\n      ");
        }
        line.push_str(&text);
        let last = at + 1 == chosen.len();
        if !last || random.once_in(3) {
            line.push(',');
        }
        if !last && random.once_in(5) {
            line.push(' ');
            continue;
        }
        if random.once_in(5) {
            line.push_str(" -- a, b");
        }
        lines.extend(std::mem::take(&mut line).split('\n').map(str::to_owned));
        if random.once_in(8) {
            lines.push("# indented, about the next".to_owned());
        }
    }
    (lines, chosen)
}

/// A `.datasource` file without errors, and how many comments it has that begin with `# c1` and so on.
pub fn datasource(random: &mut Random) -> (String, usize) {
    let (schema, columns) = schema(random);
    let mut writer = Writer { random, out: Vec::new(), comments: 0 };
    match writer.random.below(3) {
        0 => writer.block("DESCRIPTION", &["Orders".to_owned(), "  of the shop # no comment".to_owned()]),
        1 => writer.line("DESCRIPTION", "Orders of the \"shop\""),
        _ => {}
    }
    if writer.random.once_in(2) {
        writer.raw("TOKEN", "\"orders read\" READ");
    }
    if writer.random.once_in(2) {
        writer.line("TAGS", "billing, team=shop");
    }
    if writer.random.once_in(8) {
        writer.raw("SCHEMA", "\"id UInt64, `b c` String\"");
    } else {
        writer.block("SCHEMA", &schema);
        if writer.random.once_in(2) {
            writer.block("INDEXES", &["by_id order_id TYPE minmax GRANULARITY 4 -- why".to_owned()]);
        }
        engine(&mut writer, &columns);
    }
    if writer.random.once_in(4) {
        writer.block("FORWARD_QUERY", &["SELECT *".to_owned(), "  FROM t # t".to_owned()]);
    }
    if !writer.random.once_in(5) {
        import(&mut writer);
    }
    writer.between();
    let comments = writer.comments;
    (finish(writer), comments)
}

fn engine(writer: &mut Writer<'_>, columns: &[usize]) {
    let has = |name: &str| columns.iter().any(|column| COLUMNS[*column].starts_with(name));
    match writer.random.below(4) {
        0 if has("version") => {
            writer.line("ENGINE", "ReplacingMergeTree");
            writer.line("ENGINE_VER", "version");
        }
        1 if has("sign") => writer.line("ENGINE", "CollapsingMergeTree(sign)"),
        2 => writer.line("ENGINE", "MergeTree"),
        _ => {}
    }
    match writer.random.below(3) {
        0 => writer.block("ENGINE_SORTING_KEY", &["order_id,".to_owned(), "placed_at".to_owned()]),
        1 => writer.raw("ENGINE_SORTING_KEY", "order_id,  placed_at"),
        _ => writer.line("ENGINE_SORTING_KEY", "order_id, toStartOfHour(placed_at)"),
    }
    if writer.random.once_in(2) {
        writer.line("ENGINE_TTL", "toDate(placed_at) + toIntervalDay(60)");
    }
    if writer.random.once_in(3) {
        writer.line("ENGINE_SETTINGS", "index_granularity = 32");
    }
}

fn import(writer: &mut Writer<'_>) {
    writer.line("IMPORT_CONNECTION_NAME", "shop");
    match writer.random.below(3) {
        0 => writer.raw("IMPORT_BUCKET_URI", "{{ tb_secret(\"URI\", \"s3://drop/orders/*\") }}"),
        1 => writer.block("IMPORT_BUCKET_URI", &["s3://drop/orders/".to_owned()]),
        _ => writer.line("IMPORT_BUCKET_URI", "s3://drop/orders/*.ndjson"),
    }
    writer.line("IMPORT_SCHEDULE", "@auto");
    if writer.random.once_in(2) {
        writer.line("IMPORT_FORMAT", "ndjson");
    }
    if writer.random.once_in(2) {
        writer.line("IMPORT_FROM_TIMESTAMP", "2025-01-01T00:00:00Z");
    }
    if writer.random.once_in(2) {
        writer.line("IMPORT_STRATEGY", "APPEND");
    }
}

/// A `.connection` file without errors.
pub fn connection(random: &mut Random) -> (String, usize) {
    let mut writer = Writer { random, out: Vec::new(), comments: 0 };
    if writer.random.once_in(2) {
        writer.block("DESCRIPTION", &["The shop".to_owned()]);
    }
    writer.line("TYPE", "s3");
    writer.line("S3_REGION", "eu-west-1");
    match writer.random.below(3) {
        0 => {
            writer.line("S3_ARN", "arn:aws:iam::111111111111:role/shop");
            writer.line("S3_EXTERNAL_ID", "abc-123");
        }
        1 => {
            writer.line("S3_ACCESS_KEY", "AKIA1");
            writer.raw("S3_SECRET", "{{ tb_secret(\"KEY\", \"hush\") }}");
        }
        _ => writer.line("S3_ANONYMOUS", "true"),
    }
    if writer.random.once_in(2) {
        writer.line("S3_ENDPOINT", "http://127.0.0.1:9000");
        writer.line("S3_PATH_STYLE", "true");
    }
    writer.between();
    let comments = writer.comments;
    (finish(writer), comments)
}

fn finish(writer: Writer<'_>) -> String {
    let end = writer.random.one_of(&["\n", "\n", "\r\n", "\r"]);
    let mut text = writer.out.join(end);
    if !writer.random.once_in(4) {
        text.push_str(end);
    }
    if writer.random.once_in(8) {
        text.insert(0, '\u{feff}');
    }
    text
}

/// What a file says, without the places at which it says it; and its problems, by code.
pub fn meaning(name: &str, text: &str) -> (String, Vec<&'static str>) {
    let (said, found) = parse(name, text);
    let mut codes: Vec<&'static str> = found.iter().map(|found| found.code).collect();
    codes.sort_unstable();
    (without_spans(&said), codes)
}

pub fn parse(name: &str, text: &str) -> (String, Vec<Diagnostic>) {
    let source = SourceFile::new(name, text);
    if name.ends_with(".connection") {
        let (read, found) = parse_connection(&source, &|_: &str| None);
        (format!("{read:?}"), found)
    } else {
        let (read, found) = parse_datasource(&source, &|_: &str| None);
        (format!("{read:?}"), found)
    }
}

fn without_spans(debug: &str) -> String {
    let mut pieces = debug.split("Span { start: ");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |said, piece| said + piece.split_once('}').map_or(piece, |(_, rest)| rest))
}
