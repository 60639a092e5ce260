//! ARNs of roles, keys and principals, and the partitions of AWS that they belong to.

/// A part of AWS with accounts and names of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partition {
    #[default]
    Aws,
    China,
    UsGov,
}

impl Partition {
    const ALL: [Self; 3] = [Self::Aws, Self::China, Self::UsGov];

    /// As it stands in ARNs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::China => "aws-cn",
            Self::UsGov => "aws-us-gov",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|partition| partition.as_str() == text)
    }

    /// The partition that a region belongs to.
    pub fn of_region(region: &str) -> Self {
        if region.starts_with("cn-") {
            Self::China
        } else if region.starts_with("us-gov-") {
            Self::UsGov
        } else {
            Self::Aws
        }
    }

    /// Where people manage IAM.
    pub fn console(self) -> &'static str {
        match self {
            Self::Aws => "https://console.aws.amazon.com/iam/home",
            Self::China => "https://console.amazonaws.cn/iam/home",
            Self::UsGov => "https://console.amazonaws-us-gov.com/iam/home",
        }
    }
}

/// The ARN of a role that was looked at closely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleArn {
    pub arn: String,
    pub partition: Partition,
    /// Twelve digits.
    pub account: String,
    /// Without its path.
    pub name: String,
}

impl RoleArn {
    /// Reads the ARN of a role.
    ///
    /// # Errors
    /// What is wrong with it, and what it looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        const LIKE: &str = "a role's ARN looks like arn:aws:iam::111111111111:role/my-role (IAM > Roles, or aws iam \
                            get-role)";
        let parts = Parts::of(text).map_err(|problem| format!("{problem}; {LIKE}"))?;
        let kind = parts.resource.split('/').next().unwrap_or_default();
        match (parts.service, kind) {
            ("iam", "role") => {}
            ("sts", "assumed-role") => {
                let name = parts.resource.split('/').nth(1).unwrap_or("my-role");
                let role = format!("arn:{}:iam::{}:role/{name}", parts.partition.as_str(), parts.account);
                return Err(format!("this is a session of a role, not the role: did you mean {role}?"));
            }
            ("iam", kind) => return Err(format!("this is the ARN of a {kind}, not of a role; {LIKE}")),
            (service, _) => return Err(format!("this is an ARN of {service}, not of a role; {LIKE}")),
        }
        let path = parts.resource.strip_prefix("role/").unwrap_or_default();
        check_role_path(path)?;
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Self { arn: text.to_owned(), partition: parts.partition, account: parts.account.to_owned(), name })
    }
}

fn check_role_path(path: &str) -> Result<(), String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    if name.is_empty() || path.starts_with('/') {
        return Err("the name of the role is missing behind role/".to_owned());
    }
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_+=,.@-/".contains(letter);
    match path.chars().find(|letter| !allowed(*letter)) {
        Some(letter) => Err(format!("{letter:?} cannot be in the name of a role; its letters are A-Z a-z 0-9 _+=,.@-")),
        None if name.len() > 64 => Err(format!("the name of a role has at most 64 letters, this has {}", name.len())),
        None => Ok(()),
    }
}

/// Reads the ARN of a KMS key.
///
/// # Errors
/// What is wrong with it, and what it looks like.
pub fn parse_key(text: &str) -> Result<String, String> {
    const LIKE: &str = "a key's ARN looks like arn:aws:kms:eu-west-1:111111111111:key/1234abcd-12ab-34cd-56ef-\
                        1234567890ab (KMS > Customer managed keys)";
    let parts = Parts::of(text).map_err(|problem| format!("{problem}; {LIKE}"))?;
    if parts.service != "kms" || parts.region.is_empty() {
        return Err(format!("this is not the ARN of a KMS key; {LIKE}"));
    }
    if parts.resource.starts_with("alias/") {
        return Err(format!("a policy cannot name a key by its alias; {LIKE}"));
    }
    let id = parts.resource.strip_prefix("key/").unwrap_or_default();
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    if id.is_empty() || !id.chars().all(allowed) {
        return Err(format!("the id of the key is missing or has letters that no id has; {LIKE}"));
    }
    Ok(text.to_owned())
}

/// Who may assume a role: the `Principal` of its trust policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub arn: String,
    pub partition: Partition,
    /// Twelve digits.
    pub account: String,
    /// Whether it stands for everybody of the account whom the account itself allows it.
    pub whole_account: bool,
}

impl Principal {
    /// A whole account.
    pub fn account(partition: Partition, account: &str) -> Self {
        let arn = format!("arn:{}:iam::{account}:root", partition.as_str());
        Self { arn, partition, account: account.to_owned(), whole_account: true }
    }

    /// Reads an account id or an ARN, such as one that `GetCallerIdentity` tells. A session of a role stands for the
    /// role, unless the role's path is lost: then, and for anything else that a trust policy cannot name for long, the
    /// account stands for it. `partition` is that of a bare account id.
    ///
    /// # Errors
    /// What is wrong with it, and what it looks like.
    pub fn parse(text: &str, partition: Partition) -> Result<Self, String> {
        const LIKE: &str = "the principal is an account id of twelve digits, or an ARN such as \
                            arn:aws:iam::111111111111:user/connector";
        if !text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit()) {
            return match text.len() {
                12 => Ok(Self::account(partition, text)),
                count => Err(format!("an account id has twelve digits, this has {count}; {LIKE}")),
            };
        }
        let parts = Parts::of(text).map_err(|problem| format!("{problem}; {LIKE}"))?;
        let (kind, rest) = parts.resource.split_once('/').unwrap_or((parts.resource, ""));
        let fits = rest.chars().all(|letter| letter.is_ascii_graphic() && !"\"'\\*?${}".contains(letter));
        let root = Self::account(parts.partition, parts.account);
        let of = |arn: String| Self { arn, whole_account: false, ..root.clone() };
        match (parts.service, kind) {
            ("iam", "root") if rest.is_empty() => Ok(root),
            ("iam", "user" | "role") if !rest.is_empty() && !rest.ends_with('/') && fits => Ok(of(text.to_owned())),
            ("sts", "assumed-role") if !rest.is_empty() && fits => {
                let name = rest.split('/').next().unwrap_or_default();
                // Roles of the identity centre have a path, which their sessions do not tell.
                if name.starts_with("AWSReservedSSO_") {
                    return Ok(root);
                }
                Ok(of(format!("arn:{}:iam::{}:role/{name}", parts.partition.as_str(), parts.account)))
            }
            ("sts", "federated-user") => Ok(root),
            _ => Err(format!("this is neither an account nor a user nor a role; {LIKE}")),
        }
    }
}

struct Parts<'a> {
    partition: Partition,
    service: &'a str,
    region: &'a str,
    account: &'a str,
    resource: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, String> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [arn, partition, service, region, account, resource] = parts.as_slice() else {
            return Err(if text.starts_with("arn:") {
                "this ARN is cut off".to_owned()
            } else {
                "this is not an ARN".to_owned()
            });
        };
        if *arn != "arn" {
            return Err("an ARN begins with arn:".to_owned());
        }
        let Some(partition) = Partition::parse(partition) else {
            return Err(format!("there is no partition {partition:?}: it is aws, aws-cn or aws-us-gov"));
        };
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("{account:?} is not an account id, which has twelve digits"));
        }
        if *service == "iam" && !region.is_empty() {
            return Err(format!(
                "IAM has no regions: there should be nothing between the colons instead of {region:?}"
            ));
        }
        Ok(Self { partition, service, region, account, resource })
    }
}
