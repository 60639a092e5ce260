//! A wrong configuration: all of it is told at once, with its places, and nothing is started.

use crate::harness::{Cloud, Home};

/// One problem as it has to be printed: what is wrong, where, and what to do.
struct Problem {
    what: &'static str,
    place: &'static str,
    hint: &'static str,
}

const PROBLEMS: [Problem; 5] = [
    Problem {
        what: "no key 'files_per_tik' in the section [limits]",
        place: "s3-connector.toml:2:1",
        hint: "did you mean 'files_per_tick'?",
    },
    Problem { what: "expected a duration, found an integer", place: "s3-connector.toml:3:8", hint: "such as" },
    Problem { what: "the secret 'SHOP_ARN' is not set", place: "connections/shop.connection:3:8", hint: "SHOP_ARN" },
    Problem {
        what: "there is no connection 'shpo'",
        place: "datasources/orders.datasource:1:24",
        hint: "did you mean 'shop'?",
    },
    Problem {
        what: "two data sources are called",
        place: "datasources/more/Orders.datasource:1:1",
        hint: "rename one of the files",
    },
];

fn wrong_home() -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.put("drop", "1.csv", "id\n1\n");
    std::fs::create_dir(home.path("config/datasources/more")).expect("folder");
    home.config("s3-connector.toml", "[limits]\nfiles_per_tik = 5\ntick = 60\n");
    home.config(
        "connections/shop.connection",
        &format!(
            "TYPE s3\nS3_REGION us-east-1\nS3_ARN {{{{ tb_secret(\"SHOP_ARN\") }}}}\nS3_ENDPOINT {}\n",
            cloud.endpoint()
        ),
    );
    let import = |connection: &str| {
        format!("IMPORT_CONNECTION_NAME {connection}\nIMPORT_BUCKET_URI s3://drop/*.csv\nIMPORT_SCHEDULE @auto\n")
    };
    home.config("datasources/orders.datasource", &import("shpo"));
    home.config("datasources/more/Orders.datasource", &import("shop"));
    (home, cloud)
}

#[test]
fn check_and_run_tell_all_problems_at_once_with_their_places() {
    let (home, cloud) = wrong_home();
    for verb in [&["check"][..], &["check", "--offline"], &["run"], &["run", "--once"], &["status"]] {
        let ended = home.run(cloud.endpoint(), verb).expect_code(2);
        let printed = &ended.stderr;
        assert_eq!(ended.stdout, "", "{verb:?}");
        for Problem { what, place, hint } in &PROBLEMS {
            let blocks: Vec<&str> = printed.split("error: ").filter(|block| block.contains(place)).collect();
            let [block] = blocks.as_slice() else { panic!("{verb:?}: {place} is not there once:\n{printed}") };
            assert!(block.contains(what), "no '{what}' in:\n{block}");
            assert!(block.contains('^'), "no caret in:\n{block}");
            assert!(block.contains("hint:") && block.contains(hint), "no hint '{hint}' in:\n{block}");
        }
        assert!(printed.contains("5 problems in the configuration; nothing was done"), "{printed}");
    }
}

#[test]
fn a_refused_configuration_creates_nothing() {
    let (home, cloud) = wrong_home();
    for verb in [&["check"][..], &["run"], &["run", "--once"], &["status"]] {
        home.run(cloud.endpoint(), verb).expect_code(2);
        let mut entries: Vec<_> = std::fs::read_dir(home.path(""))
            .expect("the home")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        entries.sort();
        assert_eq!(entries, ["config", "s3"], "{verb:?}");
    }
}

#[test]
fn a_mended_configuration_runs() {
    let (home, cloud) = wrong_home();
    std::fs::remove_file(home.path("config/datasources/more/Orders.datasource")).expect("removed");
    home.config("s3-connector.toml", "[limits]\nfiles_per_tick = 5\ntick = \"60s\"\n");
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/*.csv", "@auto");
    home.run(cloud.endpoint(), &["check"]).expect_code(0);
    assert!(!home.path("data/ledger.sqlite3").exists(), "check writes nothing");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert_eq!(home.counts("orders").rows, 1);
}
