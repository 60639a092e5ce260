//! `demo`: the normal pipeline on sample files that keep coming, with an S3 and STS of its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use connector_core::error::Failure;
use connector_core::ports::{ImportCounts, Ledger};
use connector_devcloud::DevCloud;
use tokio::runtime::Handle;

use super::signals::{DRAIN, StopSignals};
use super::{Ended, VerbResult, output, project, runtime};
use crate::app::{App, Service};
use crate::demo::home::{Home, first_free};
use crate::demo::shop::Shop;
use crate::logging;

/// See the pipeline work on sample files, with nothing to set up.
///
/// Starts an S3 and STS endpoint over a folder, drops a file of orders (CSV) and one of page views (Parquet) every few
/// seconds, and runs the normal pipeline with the shipped configuration: two imports that read through one assumed
/// role, into two Delta tables. Ctrl-C ends it; running it again goes on.
#[derive(Args)]
#[command(after_help = "\
There is no --json: what it prints is for people. The verbs that it names have it.

Examples:
  s3-connector demo
  s3-connector demo --files 10       end by itself after ten files of each kind")]
pub struct Demo {
    /// The folder for bucket, configuration and tables
    #[arg(long, default_value = "s3-connector-demo")]
    folder: PathBuf,
    /// Seconds between two files
    #[arg(long, default_value_t = 3.0)]
    every: f64,
    /// The period of @auto, in seconds; 60 outside of the demo
    #[arg(long, default_value_t = 5.0)]
    tick: f64,
    /// Rows of a file of orders; a file of page views has twice as many
    #[arg(long, default_value_t = 5_000)]
    rows: u32,
    /// End once this many files of each kind have been dropped and imported
    #[arg(long)]
    files: Option<u32>,
}

/// The port that the shipped connection names.
const S3_PORT: u16 = 9460;
/// How often the end of `--files` is looked for.
const PACE: Duration = Duration::from_millis(250);

impl Demo {
    pub fn execute(self) -> VerbResult {
        let seconds = |value: f64, option: &str| {
            Duration::try_from_secs_f64(value)
                .ok()
                .filter(|wait| *wait >= Duration::from_millis(100))
                .ok_or_else(|| Failure::config("option", format!("{option} has to be at least 0.1 seconds")))
        };
        let (every, tick) = (seconds(self.every, "--every")?, seconds(self.tick, "--tick")?);
        runtime::block_on(|io| self.run(io, every, tick))
    }

    async fn run(self, io: Handle, every: Duration, tick: Duration) -> Result<ExitCode, Ended> {
        let mut signals = StopSignals::listen()?;
        let failed = |error: std::io::Error| {
            Failure::config("demo_folder", format!("cannot use the folder {}: {error}", self.folder.display()))
        };
        let home = Home::open(&self.folder).map_err(failed)?;
        let mut shop = Shop::open(&home.bucket(), self.rows).map_err(failed)?;
        let cloud = DevCloud::start(home.devcloud(first_free(S3_PORT).port())).await.map_err(Failure::from)?;
        let endpoint = cloud.endpoint();
        let variables = {
            let (home, endpoint) = (home.clone(), endpoint.clone());
            move |name: &str| home.variable(&endpoint, tick, name)
        };
        let source = project::source(&home.config(), variables.clone())?;
        let project = project::load_with(&home.config(), &variables)?;
        logging::start(&project.settings.log);
        let app = App::start(project, io, Service::Daemon(Some(source))).await?;
        if let Some(servers) = app.servers() {
            home.write_environment(&endpoint, servers.api_address()).map_err(failed)?;
        }
        self.greet(&app, &home, &endpoint);

        let mut drops = tokio::time::interval(every);
        let mut looks = tokio::time::interval(PACE);
        loop {
            tokio::select! {
                signal = signals.wait() => {
                    output::line(format!("\n{signal}: finishing"));
                    break;
                }
                _ = drops.tick(), if self.files.is_none_or(|files| shop.dropped() < files) => {
                    shop.drop_files(app.now()).map_err(failed)?;
                }
                _ = looks.tick(), if self.files.is_some_and(|files| shop.dropped() >= files) => {
                    // An import that has failed will never be done; the log says why.
                    if imported(&app).await >= shop.files() || app.any_failed().await {
                        break;
                    }
                }
            }
        }
        let summary = summary(&app).await;
        app.stop(DRAIN).await;
        cloud.shutdown().await;
        for line in summary {
            output::line(line);
        }
        output::line(format!("run it again to go on; delete {} to start over", self.folder.display()));
        Ok(ExitCode::SUCCESS)
    }

    fn greet(&self, app: &App, home: &Home, endpoint: &str) {
        output::line(format!("bucket         {} (S3 and STS at {endpoint})", home.bucket().display()));
        output::line(format!("configuration  {}", home.config().display()));
        if let Some(servers) = app.servers() {
            output::line(format!("metrics        http://{}/metrics", servers.metrics_address()));
            output::line(format!("status         http://{}/api/v1/status", servers.api_address()));
        }
        for spec in &app.project().imports {
            output::line(format!("table          {}", app.destinations().table_location(spec)));
        }
        let first = app.project().imports.first().map(|spec| app.destinations().table_location(spec));
        if let Some(table) = first {
            output::line("\nread a table from another terminal, with any of these:");
            readers(&table).into_iter().for_each(|line| output::line(format!("  {line}")));
        }
        let folder = self.folder.display();
        output::line("\nlook around from another terminal, now or when the demo has ended:");
        for verb in LOOK_AROUND {
            output::line(format!("  (cd {folder} && s3-connector {verb})"));
        }
        output::line("\nwhile it runs, also what has to ask its S3:");
        for verb in ASK_S3 {
            output::line(format!("  (cd {folder} && . ./env && s3-connector {verb})"));
        }
        output::line("\nCtrl-C ends the demo.\n");
    }
}

/// What there is to see. They find configuration, ledger and tables by their usual places in the demo's folder.
const LOOK_AROUND: [&str; 4] = ["quarantine ls orders", "history orders --files", "datasource diff orders", "status"];

const ASK_S3: [&str; 4] = [
    "audit",
    "explain s3://shop-drop/orders/orders-000001.csv",
    "datasource preview orders",
    "quarantine replay orders",
];

/// One-liners that read a table with other engines.
fn readers(table: &str) -> [String; 3] {
    [
        format!("duckdb -c \"INSTALL delta; LOAD delta; SELECT count(*) FROM delta_scan('{table}')\""),
        format!("python3 -c \"import polars; print(polars.read_delta('{table}'))\"     # pip install polars deltalake"),
        format!("clickhouse local -q \"SELECT count() FROM deltaLakeLocal('{table}')\""),
    ]
}

async fn counts(app: &App) -> Vec<(String, ImportCounts)> {
    let mut all = Vec::new();
    for spec in &app.project().imports {
        let counts = app.ledger().counts(&spec.name, app.now()).await.unwrap_or_default();
        all.push((spec.name.to_string(), counts));
    }
    all
}

fn files(counts: &ImportCounts, state: &str) -> u64 {
    counts.files.get(state).copied().unwrap_or(0)
}

/// Files whose fate is settled, over all imports.
async fn imported(app: &App) -> u64 {
    let counts = counts(app).await;
    let settled = ["ingested", "quarantined", "failed"];
    counts.iter().map(|(_, counts)| settled.iter().map(|state| files(counts, state)).sum::<u64>()).sum()
}

async fn summary(app: &App) -> Vec<String> {
    let line = |(name, counts): (String, ImportCounts)| {
        format!(
            "{name}: {} with {} are in the table, {} in quarantine, {} failed, {} wait",
            output::count(files(&counts, "ingested"), "file"),
            output::count(counts.rows, "row"),
            output::count(counts.rows_quarantined, "row"),
            output::count(files(&counts, "failed") + files(&counts, "quarantined"), "file"),
            counts.backlog_files
        )
    };
    counts(app).await.into_iter().map(line).collect()
}
