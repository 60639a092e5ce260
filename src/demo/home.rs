//! The demo's folder. It holds everything, so that deleting it undoes the demo.
//!
//! ```text
//! config/   the shipped configuration, free to be edited
//! env       what a shell needs to ask the demo's S3 while it runs
//! s3/       what the embedded S3 serves: s3/shop-drop is the bucket
//! data/     ledger and tables
//! ```

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use connector_core::secret::Secret;
use connector_devcloud::{DevCloudConfig, KeyPair, Role};

/// The bucket of the shipped data sources.
pub const BUCKET: &str = "shop-drop";
/// What the shipped connection names.
const ROLE: &str = "arn:aws:iam::000000000000:role/shop-reader";
const EXTERNAL_ID: &str = "7d3f6a52-5b1c-4c38-9f0e-2a6d8e41b790";
/// Who assumes the role. It opens nothing but this demo on this machine.
const CALLER: (&str, &str) = ("demo", "demo-secret");
/// The shortest session that the connector asks for.
const SESSION: Duration = Duration::from_secs(15 * 60);

const SHIPPED: [(&str, &str); 4] = [
    ("s3-connector.toml", include_str!("../../config/s3-connector.toml")),
    ("connections/shop.connection", include_str!("../../config/connections/shop.connection")),
    ("datasources/orders.datasource", include_str!("../../config/datasources/orders.datasource")),
    ("datasources/page_views.datasource", include_str!("../../config/datasources/page_views.datasource")),
];

/// See the module.
#[derive(Clone, Debug)]
pub struct Home {
    folder: PathBuf,
}

impl Home {
    /// Makes the folder, or takes it up as it is. Configuration that is there already is left alone.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let home = Self { folder: folder.to_owned() };
        for (name, text) in SHIPPED {
            let path = home.config().join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            if !path.exists() {
                std::fs::write(path, text)?;
            }
        }
        std::fs::create_dir_all(home.bucket())?;
        Ok(home)
    }

    pub fn config(&self) -> PathBuf {
        self.folder.join("config")
    }

    pub fn s3(&self) -> PathBuf {
        self.folder.join("s3")
    }

    pub fn bucket(&self) -> PathBuf {
        self.s3().join(BUCKET)
    }

    /// The embedded S3 and STS: one user who may do nothing but assume one role, which may read one bucket.
    pub fn devcloud(&self, port: u16) -> DevCloudConfig {
        let (access_key_id, secret) = CALLER;
        DevCloudConfig {
            faults: None,
            folder: self.s3(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            region: "us-east-1".to_owned(),
            users: vec![KeyPair { access_key_id: access_key_id.to_owned(), secret: Secret::new(secret) }],
            roles: vec![Role {
                arn: ROLE.to_owned(),
                external_id: Some(EXTERNAL_ID.to_owned()),
                allowed_callers: vec![access_key_id.to_owned()],
                buckets: Some(vec![BUCKET.to_owned()]),
                session: SESSION,
                write: false,
            }],
            users_may_read: false,
        }
    }

    /// Writes `env`, to be read by a shell: then verbs that ask S3 find that of the running demo.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_environment(&self, endpoint: &str, api: SocketAddr) -> io::Result<()> {
        let lines = [
            ("SHOP_S3_ENDPOINT", endpoint),
            ("S3_CONNECTOR_AWS_STS_ENDPOINT", endpoint),
            ("S3_CONNECTOR_AWS_ACCESS_KEY_ID", CALLER.0),
            ("S3_CONNECTOR_AWS_SECRET_ACCESS_KEY", CALLER.1),
            ("S3_CONNECTOR_LISTEN_API", &api.to_string()),
        ];
        let text: String = lines.iter().map(|(name, value)| format!("export {name}={value}\n")).collect();
        std::fs::write(self.folder.join("env"), text)
    }

    /// The variables with which the shipped configuration runs as the demo: where S3 and STS are, who calls STS, a
    /// short tick, and this folder for data. What the environment sets wins.
    pub fn variable(&self, endpoint: &str, tick: Duration, name: &str) -> Option<String> {
        if let Ok(value) = std::env::var(name) {
            return Some(value);
        }
        let listen = |port| first_free(port).to_string();
        match name {
            "SHOP_S3_ENDPOINT" | "S3_CONNECTOR_AWS_STS_ENDPOINT" => Some(endpoint.to_owned()),
            "S3_CONNECTOR_AWS_ACCESS_KEY_ID" => Some(CALLER.0.to_owned()),
            "S3_CONNECTOR_AWS_SECRET_ACCESS_KEY" => Some(CALLER.1.to_owned()),
            "S3_CONNECTOR_LIMITS_TICK" => Some(format!("{}ms", tick.as_millis())),
            "S3_CONNECTOR_DATA_DIR" => Some(self.folder.join("data").display().to_string()),
            "S3_CONNECTOR_LISTEN_METRICS" => Some(listen(9464)),
            "S3_CONNECTOR_LISTEN_API" => Some(listen(9465)),
            _ => None,
        }
    }
}

/// This loopback port if nobody has it, else any free one.
pub fn first_free(port: u16) -> SocketAddr {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(wanted) {
        Ok(_) => wanted,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}
