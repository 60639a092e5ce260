use super::*;

fn uri(text: &str) -> BucketUri {
    BucketUri::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn forms_match_what_the_table_says() {
    let cases: &[(&str, &[&str], &[&str], &str)] = &[
        ("s3://bkt", &["a", "a/b.csv", ""], &[], ""),
        ("s3://bkt/", &["a", "/a"], &[], ""),
        ("s3://bkt/path", &["path", "path/a", "path/b/c"], &["path2", "pathology/a", "x/path"], "path"),
        ("s3://bkt/path/", &["path/a", "path/b/c"], &["path", "path2/a"], "path/"),
        ("s3://bkt//path", &["/path", "/path/a"], &["path"], "/path"),
        ("s3://bkt/*.csv", &["a.csv", "x/y/a.csv", ".csv"], &["a.csv.gz", "a.parquet"], ""),
        ("s3://bkt/p/*.csv", &["p/a.csv", "p/x/y/a.csv"], &["a.csv", "q/a.csv"], "p/"),
        ("s3://bkt/*/2024/*.csv", &["a/2024/b.csv", "a/2024/x/b.csv"], &["a/b/2024/c.csv", "2024/c.csv"], ""),
        ("s3://bkt/**/2024/a.csv", &["x/y/2024/a.csv"], &["2024/a.csv"], ""),
        ("s3://bkt/a**b/c", &["ab/c", "ax/yb/c"], &["ab/d"], "a"),
        ("s3://bkt/*/", &["a/"], &["a/b", "a/b/"], ""),
        ("s3://bkt/day-?[0-9].csv", &["day-01.csv", "day-a9.csv"], &["day-/9.csv", "day-0x.csv"], "day-"),
        ("s3://bkt/[!a]b", &["xb", "äb"], &["ab", "/b"], ""),
        ("s3://bkt/[]a]x[a-]", &["]xa", "ax-"], &["bxa"], ""),
        ("s3://bkt/[+-9]x", &["0x", "-x"], &["/x"], ""),
        ("s3://bkt/lo[g]s/[*]x[{]", &["logs/*x{", "logs/*x{/a"], &["logs/ax{"], "logs/*x{"),
        ("s3://bkt/{a,b}/{1,2}.csv", &["a/1.csv", "b/2.csv"], &["c/1.csv", "a/3.csv"], ""),
        ("s3://bkt/in/{2023,2024}", &["in/2023", "in/2024/a/b"], &["in/2025", "in/20234"], "in/202"),
        ("s3://bkt/in/{x/y,xz}/*.csv", &["in/x/y/a.csv", "in/xz/b/a.csv"], &["in/x/a.csv"], "in/x"),
        ("s3://bkt/a{,b{c,d}}.csv", &["a.csv", "abc.csv", "abd.csv"], &["ab.csv"], "a"),
        ("s3://bkt/{a/*,b}", &["a/x/y", "b", "b/x"], &["c"], ""),
        ("s3://bkt/{}x", &["x"], &["{}x"], "x"),
        (r"s3://bkt/a\*b\{c\,\\d", &[r"a*b{c,\d", r"a*b{c,\d/x"], &["axb{c,d"], r"a*b{c,\d"),
        (r"s3://bkt/{a\,b,c\}}*", &["a,b1", "c}"], &["a", "b"], ""),
        (r"s3://bkt/[\]\\]*", &["]", r"\x"], &["x"], ""),
        (r"s3://bkt/a\b\", &[r"a\b\"], &["ab"], r"a\b\"),
        ("s3://bkt/a]b}c,d", &["a]b}c,d"], &["a"], "a]b}c,d"),
        ("s3://bkt/größe-{ä,ö}*", &["größe-ä", "größe-ö/x"], &["größe-u"], "größe-"),
    ];
    for (text, yes, no, prefix) in cases {
        let uri = uri(text);
        yes.iter().for_each(|key| assert!(uri.matches(key), "{uri:?} should match {key}"));
        no.iter().for_each(|key| assert!(!uri.matches(key), "{uri:?} should not match {key}"));
        assert_eq!(uri.literal_prefix(), *prefix, "{uri:?}");
    }
}

#[test]
fn what_is_no_bucket_uri_is_refused_with_the_place_and_the_reason() {
    let long = format!("s3://{}/x", "a".repeat(64));
    let many = format!("s3://bkt/x{}", "{a,b}".repeat(9));
    let deep = format!("s3://bkt/{}a{}", "{".repeat(17), "}".repeat(17));
    for (text, offset, reason) in [
        ("http://x", 0, "begins with s3://"),
        ("S3://bkt", 0, "begins with s3://"),
        ("s3://", 5, "missing"),
        ("s3:///a", 5, "missing"),
        ("s3://ab", 5, "2 characters"),
        (&long, 5, "64 characters"),
        ("s3://b*t/x", 6, "wildcards may stand behind it"),
        ("s3://bkt-{a,b}/x", 9, "wildcards may stand behind it"),
        ("s3://My-bucket/x", 5, "no capitals"),
        ("s3://my_bucket/x", 7, "no '_'"),
        ("s3://bückêt/x", 6, "no 'ü'"),
        ("s3://-bkt/x", 5, "begins with"),
        ("s3://bkt./x", 8, "ends with"),
        ("s3://b..t/x", 6, "two dots"),
        ("s3://192.168.0.1/x", 5, "IP address"),
        ("s3://xn--bkt/x", 5, "reserves"),
        ("s3://bkt--use1-az4--x-s3/x", 18, "directory bucket"),
        ("s3://bkt/a[b", 10, r"write '\['"),
        ("s3://bkt/ab[]", 11, "never closed"),
        ("s3://bkt/[z-a]", 10, "the range 'z-a'"),
        ("s3://bkt/[a/b]", 11, "no '/'"),
        ("s3://bkt/[a-/]", 12, "no '/'"),
        ("s3://bkt/{a", 9, r"write '\{'"),
        ("s3://bkt/x{a,{b}", 10, "never closed"),
        (&many, 10, "256 alternatives"),
        (&deep, 25, "16 deep"),
    ] {
        let error = BucketUri::parse(text).expect_err(text);
        assert_eq!(error.offset, offset, "{text}: {error}");
        assert!(error.message.contains(reason), "{text}: {error}");
    }
    for text in ["s3://abc", "s3://0.a-b.9/x", "s3://my-access-point-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias"] {
        uri(text);
    }
}

#[test]
fn a_hostile_pattern_is_matched_in_time_linear_in_the_key() {
    let uri = uri(&format!("s3://bkt/{}b", "*a".repeat(30)));
    assert!(!uri.matches(&"a".repeat(1024)));
}

/// A pattern as a tree, from which its text is written: what it means is known without a parser.
#[derive(Clone, Debug)]
enum Node {
    Letter(char),
    One,
    Class(bool, Vec<(char, char)>),
    Star,
    Stars,
    Choice(Vec<Vec<Node>>),
}

const LETTERS: &[char] = &['a', 'b', '/', 'ß', '*', '{', ',', ']', '\\', '-'];

fn letter(random: &mut fastrand::Rng) -> char {
    // Plain ones more often than those that need an escape.
    if random.u8(..4) > 0 { LETTERS[random.usize(..3)] } else { LETTERS[random.usize(..LETTERS.len())] }
}

fn nodes(random: &mut fastrand::Rng, depth: u32) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for _ in 0..random.usize(..6) {
        let node = match random.u8(..12) {
            0 => Node::One,
            1 => {
                let low = LETTERS[random.usize(..2)];
                Node::Class(random.bool(), vec![(low, 'b'), ('x', 'z')])
            }
            2 | 3 => Node::Star,
            4 => Node::Stars,
            5 | 6 if depth < 2 => Node::Choice((0..random.usize(1..4)).map(|_| nodes_of(random, depth)).collect()),
            _ => Node::Letter(letter(random)),
        };
        let stars = |node: &Node| matches!(node, Node::Star | Node::Stars);
        // Written side by side they would be one.
        if !(stars(&node) && nodes.last().is_some_and(stars)) {
            nodes.push(node);
        }
    }
    nodes
}

fn nodes_of(random: &mut fastrand::Rng, depth: u32) -> Vec<Node> {
    nodes(random, depth + 1)
}

fn written(nodes: &[Node]) -> String {
    let one = |node: &Node| match node {
        Node::Letter(letter) if "*?[]{},\\".contains(*letter) => format!("\\{letter}"),
        Node::Letter(letter) => letter.to_string(),
        Node::One => "?".to_owned(),
        Node::Class(negated, ranges) => {
            let ranges: String = ranges.iter().map(|(low, high)| format!("{low}-{high}")).collect();
            format!("[{}{ranges}]", if *negated { "!" } else { "" })
        }
        Node::Star => "*".to_owned(),
        Node::Stars => "**".to_owned(),
        Node::Choice(choices) => {
            format!("{{{}}}", choices.iter().map(|one| written(one)).collect::<Vec<_>>().join(","))
        }
    };
    nodes.iter().map(one).collect()
}

fn choices(nodes: &[Node]) -> Vec<Vec<Node>> {
    let Some((first, rest)) = nodes.split_first() else { return vec![Vec::new()] };
    let firsts = match first {
        Node::Choice(all) => all.iter().flat_map(|one| choices(one)).collect(),
        other => vec![vec![other.clone()]],
    };
    let rests = choices(rest);
    firsts.iter().flat_map(|first| rests.iter().map(move |rest| [&first[..], rest].concat())).collect()
}

/// Tries every way in which a star may be read, one character after the other.
fn slowly(nodes: &[Node], key: &[char], last_segment: bool) -> bool {
    let Some((node, rest)) = nodes.split_first() else { return key.is_empty() };
    let crosses = last_segment || !rest.iter().any(|node| matches!(node, Node::Letter('/')));
    let one = |fits: &dyn Fn(char) -> bool| {
        key.split_first().is_some_and(|(letter, key)| fits(*letter) && slowly(rest, key, last_segment))
    };
    match node {
        Node::Letter(wanted) => one(&|letter| letter == *wanted),
        Node::One => one(&|letter| letter != '/'),
        Node::Class(negated, ranges) => one(&|letter| {
            letter != '/' && ranges.iter().any(|(low, high)| *low <= letter && letter <= *high) != *negated
        }),
        Node::Star | Node::Stars => {
            let may = |letter: &char| *letter != '/' || crosses || matches!(node, Node::Stars);
            let most = key.iter().take_while(|letter| may(letter)).count();
            (0..=most).any(|taken| slowly(rest, &key[taken..], last_segment))
        }
        Node::Choice(_) => unreachable!("written out before"),
    }
}

fn slowly_matches(nodes: &[Node], key: &str) -> bool {
    choices(nodes).iter().any(|one| {
        let plain: Option<String> =
            one.iter().map(|node| if let Node::Letter(letter) = node { Some(*letter) } else { None }).collect();
        // A class of one character is a character.
        match plain {
            Some(path) => {
                key == path
                    || path.is_empty()
                    || key.starts_with(&format!("{}/", path.trim_end_matches('/'))) && key.starts_with(&path)
            }
            None => slowly(one, &key.chars().collect::<Vec<_>>(), false),
        }
    })
}

/// A key that is likely to match: the pattern with something for each wildcard.
fn key(random: &mut fastrand::Rng, nodes: &[Node]) -> String {
    let mut key = String::new();
    for node in nodes {
        match node {
            Node::Letter(letter) => key.push(*letter),
            Node::Choice(all) => {
                let chosen = &all[random.usize(..all.len())];
                key.push_str(&self::key(random, chosen));
            }
            Node::One | Node::Class(..) => key.push(letter(random)),
            Node::Star | Node::Stars => (0..random.usize(..3)).for_each(|_| key.push(letter(random))),
        }
    }
    if random.u8(..6) == 0 {
        key.push_str("/a");
    }
    if random.u8(..6) == 0 && !key.is_empty() {
        key.pop();
    }
    key
}

#[test]
fn any_pattern_matches_what_a_slow_matcher_says_and_every_key_has_the_prefix() {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut matched, mut missed, mut prefixed) = (0, 0, 0);
    for _ in 0..20_000 {
        let nodes = nodes(&mut random, 0);
        if choices(&nodes).len() > pattern::MAX_ALTERNATIVES {
            continue;
        }
        let text = written(&nodes);
        let pattern = KeyPattern::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        for _ in 0..4 {
            let key = key(&mut random, &nodes);
            let expected = slowly_matches(&nodes, &key);
            assert_eq!(pattern.matches(&key), expected, "pattern {text} ({nodes:?}), key {key}");
            if expected {
                assert!(key.starts_with(pattern.literal_prefix()), "{text}: {key}");
                prefixed += u32::from(!pattern.literal_prefix().is_empty());
                matched += 1;
            } else {
                missed += 1;
            }
        }
    }
    assert!(matched > 10_000 && missed > 5_000 && prefixed > 5_000, "{matched} {missed} {prefixed}");
}

#[test]
fn the_prefix_is_as_long_as_it_can_be() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..5_000 {
        let nodes = nodes(&mut random, 0);
        let all = choices(&nodes);
        if all.len() > pattern::MAX_ALTERNATIVES {
            continue;
        }
        let pattern = KeyPattern::parse(&written(&nodes)).expect("parses");
        let prefix: Vec<char> = pattern.literal_prefix().chars().collect();
        // One alternative ends or has a wildcard right behind the prefix, or two of them go on differently.
        let next: Vec<Option<char>> = all
            .iter()
            .map(|one| match one.get(prefix.len()) {
                Some(Node::Letter(letter)) => Some(*letter),
                _ => None,
            })
            .collect();
        let longer = next.iter().all(|one| one.is_some() && *one == next[0]);
        // A class that holds one character only is a letter, too.
        let exact = all.iter().all(|one| !matches!(one.get(prefix.len()), Some(Node::Class(..))));
        assert!(!longer || !exact, "{pattern:?} has the prefix {prefix:?}");
    }
}
