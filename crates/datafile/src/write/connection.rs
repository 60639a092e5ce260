//! `.connection` files, written: what the grammar reads back as the same values.

use std::fmt::Write as _;

/// A connection that is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewConnection {
    /// Lines for people.
    pub description: Option<String>,
    pub region: Option<String>,
    pub access: NewAccess,
    pub endpoint: Option<String>,
    pub path_style: Option<bool>,
    pub requester_pays: bool,
}

/// Whose credentials shall read the bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NewAccess {
    Role {
        arn: String,
        external_id: String,
    },
    /// Names of secrets, never secrets.
    Keys {
        access_key: String,
        secret: String,
    },
    Anonymous,
    #[default]
    DefaultChain,
}

/// A value that no datafile can hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{directive} cannot have the value {value:?}: a value is one line without '{{{{'")]
pub struct Unwritable {
    pub directive: &'static str,
    pub value: String,
}

/// The text of the file.
///
/// # Errors
/// If a value has a line end, or braces that would be read as a secret.
pub fn connection_text(connection: &NewConnection) -> Result<String, Unwritable> {
    let mut text = String::new();
    if let Some(description) = connection.description.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        text += "DESCRIPTION >\n";
        for line in description.lines() {
            let _ = writeln!(text, "{}", format!("    {line}").trim_end());
        }
        text.push('\n');
    }
    text += "TYPE s3\n";
    let mut line = |directive: &'static str, value: &str| -> Result<(), Unwritable> {
        let _ = writeln!(text, "{directive} {}", quoted(directive, value)?);
        Ok(())
    };
    if let Some(region) = &connection.region {
        line("S3_REGION", region)?;
    }
    match &connection.access {
        NewAccess::Role { arn, external_id } => {
            line("S3_ARN", arn)?;
            line("S3_EXTERNAL_ID", external_id)?;
        }
        NewAccess::Keys { access_key, secret } => {
            let _ = writeln!(text, "S3_ACCESS_KEY {}", secret_reference("S3_ACCESS_KEY", access_key)?);
            let _ = writeln!(text, "S3_SECRET {}", secret_reference("S3_SECRET", secret)?);
        }
        NewAccess::Anonymous => text += "S3_ANONYMOUS true\n",
        NewAccess::DefaultChain => {}
    }
    if let Some(endpoint) = &connection.endpoint {
        let _ = writeln!(text, "S3_ENDPOINT {}", quoted("S3_ENDPOINT", endpoint)?);
    }
    if let Some(path_style) = connection.path_style {
        let _ = writeln!(text, "S3_PATH_STYLE {path_style}");
    }
    if connection.requester_pays {
        text += "S3_REQUEST_PAYER true\n";
    }
    Ok(text)
}

/// A value between double quotes, in which `\` stands before `"` and `\`.
fn quoted(directive: &'static str, value: &str) -> Result<String, Unwritable> {
    if value.contains("{{") || value.chars().any(char::is_control) {
        return Err(Unwritable { directive, value: value.to_owned() });
    }
    Ok(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn secret_reference(directive: &'static str, name: &str) -> Result<String, Unwritable> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(Unwritable { directive, value: name.to_owned() });
    }
    Ok(format!("{{{{ tb_secret(\"{name}\") }}}}"))
}
