//! AWS's configuration files: keys, region and endpoint by the name of a profile.
//!
//! `object_store` reads the environment and asks the metadata servers, but not these files, where `aws configure` puts
//! what it is told. The file of credentials has sections `[NAME]`; the file of configuration `[profile NAME]`, and
//! `[default]`; what both say is taken from the first.

use std::env;
use std::path::PathBuf;

use ini::{Ini, ParseOption, Properties};

use crate::error::{Error, Result};

/// What a profile says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) key_id: Option<String>,
    pub(super) secret: Option<String>,
    pub(super) token: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    /// What says how to get keys that are not in the files, and whose profile it is.
    elsewhere: Option<(&'static str, String)>,
}

impl Profile {
    /// The profile `named`, or that of the environment, or the default one, which need not exist.
    ///
    /// # Errors
    /// `NotFound` where a profile that was named does not exist; `InvalidInput` where a file is damaged.
    pub(super) fn load(named: Option<&str>) -> Result<Self> {
        let from_environment = env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty());
        let named = named.map(str::to_owned).or(from_environment);
        let files = [
            Source::read("AWS_SHARED_CREDENTIALS_FILE", "credentials", "")?,
            Source::read("AWS_CONFIG_FILE", "config", "profile ")?,
        ];
        Self::find(named.as_deref(), &files)
    }

    fn find(named: Option<&str>, files: &[Source]) -> Result<Self> {
        let name = named.unwrap_or("default");
        let sections: Vec<&Properties> = files.iter().filter_map(|file| file.profile(name)).collect();
        if let (Some(name), true) = (named, sections.is_empty()) {
            let searched: Vec<_> = files.iter().map(|file| file.path.display().to_string()).collect();
            return Err(Error::not_found(format!("there is no AWS profile {name:?} in {}", searched.join(" or ")))
                .with_hint("check ?profile= and AWS_PROFILE, or make it: aws configure --profile NAME"));
        }
        let get = |key: &str| sections.iter().find_map(|section| section.get(key)).map(str::to_owned);
        const ELSEWHERE: [&str; 5] =
            ["credential_process", "sso_session", "sso_start_url", "role_arn", "login_session"];
        let elsewhere = ELSEWHERE.into_iter().find(|key| get(key).is_some());
        Ok(Profile {
            key_id: get("aws_access_key_id"),
            secret: get("aws_secret_access_key"),
            token: get("aws_session_token"),
            region: get("region"),
            endpoint: get("endpoint_url"),
            elsewhere: elsewhere.map(|key| (key, name.to_owned())),
        })
    }

    /// The key's id, the secret key and the session's token, if there is one; nothing where the files have no keys.
    ///
    /// # Errors
    /// `Unsupported` where the profile gets them in a way that Pinako does not know, `InvalidInput` where half is missing.
    pub(super) fn keys(self) -> Result<Option<(String, String, Option<String>)>> {
        match (self.key_id, self.secret, self.elsewhere) {
            (Some(key_id), Some(secret), _) => {
                // Both stand in headers.
                let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
                if !is_plain(&key_id) || !self.token.as_deref().is_none_or(is_plain) {
                    return Err(Error::invalid("there is a character in an AWS profile's keys that cannot be in them"));
                }
                Ok(Some((key_id, secret, self.token)))
            }
            (None, None, None) => Ok(None),
            (None, None, Some((way, name))) => Err(Error::unsupported(format!(
                "the AWS profile {name:?} gets its keys by {way}, which Pinako leaves to the aws command"
            ))
            .with_hint(format!(
                "run eval \"$(aws configure export-credentials --profile {name} --format env)\", and leave ?profile= out"
            ))),
            _ => Err(Error::invalid("of an AWS profile's aws_access_key_id and aws_secret_access_key one is missing")),
        }
    }
}

/// One of the two files.
struct Source {
    path: PathBuf,
    file: Ini,
    /// What names of profiles have before them, but for the default one.
    before: &'static str,
}

impl Source {
    /// The file that `variable` names, or `~/.aws/{usual}`; an empty one where there is none.
    fn read(variable: &str, usual: &str, before: &'static str) -> Result<Self> {
        let home = || Some(env::home_dir()?.join(".aws").join(usual));
        let path = env::var_os(variable).map(PathBuf::from).or_else(home).unwrap_or_default();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io(format!("cannot read {}", path.display()), error)),
        };
        Self::parse(path, &text, before)
    }

    fn parse(path: PathBuf, text: &str, before: &'static str) -> Result<Self> {
        // Keys may have any character in them, and nested settings are those of no profile.
        let options = ParseOption {
            enabled_quote: false,
            enabled_escape: false,
            enabled_preserve_key_leading_whitespace: true,
            ..ParseOption::default()
        };
        let file = Ini::load_from_str_opt(text, options)
            .map_err(|error| Error::invalid(format!("{} is damaged", path.display())).with_source(error))?;
        Ok(Source { path, file, before })
    }

    fn profile(&self, name: &str) -> Option<&Properties> {
        let before = if name == "default" { "" } else { self.before };
        self.file.section(Some(format!("{before}{name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn files(credentials: &str, config: &str) -> [Source; 2] {
        [
            Source::parse("credentials".into(), credentials, "").unwrap(),
            Source::parse("config".into(), config, "profile ").unwrap(),
        ]
    }

    #[test]
    fn keys_are_found_in_one_file_and_the_region_in_the_other() {
        let credentials = "[default]\naws_access_key_id = A\naws_secret_access_key = a/b+c\\d=\"e\"\n\n\
            [work]\naws_access_key_id=W\naws_secret_access_key=w\naws_session_token = t==\n";
        let config = "[default]\nregion = eu-west-3\n[profile work]\nregion = us-east-2 \n\
            endpoint_url = http://10.0.0.1:9000\ns3 =\n  endpoint_url = http://nested\n  region = nested\noutput = json\n";
        let files = files(credentials, config);
        let text = |text: &str| Some(text.to_owned());
        let default = Profile {
            key_id: text("A"),
            secret: text("a/b+c\\d=\"e\""),
            region: text("eu-west-3"),
            ..Profile::default()
        };
        assert_eq!(Profile::find(None, &files).unwrap(), default);
        let work = Profile {
            key_id: text("W"),
            secret: text("w"),
            token: text("t=="),
            region: text("us-east-2"),
            endpoint: text("http://10.0.0.1:9000"),
            elsewhere: None,
        };
        assert_eq!(Profile::find(Some("work"), &files).unwrap(), work);
    }

    #[test]
    fn only_a_profile_that_was_named_must_exist() {
        let files = files("", "[work]\nregion = x\n");
        assert_eq!(Profile::find(None, &files).unwrap(), Profile::default());
        let error = Profile::find(Some("work"), &files).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), "there is no AWS profile \"work\" in credentials or config");
    }

    #[test]
    fn profiles_that_need_the_aws_command_say_which() {
        for key in ["credential_process", "sso_session", "sso_start_url", "role_arn"] {
            let files = files("", &format!("[profile p]\n{key} = x\n"));
            let error = Profile::find(Some("p"), &files).unwrap().keys().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.hint().unwrap().contains("export-credentials --profile p"), "{error:?}");
        }
    }

    #[test]
    fn damaged_files_are_named() {
        for text in ["[a\n", "= x\n", "[a]\nkey"] {
            let error = Source::parse("/x/config".into(), text, "profile ").err().unwrap();
            assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::InvalidInput, "/x/config is damaged"));
        }
    }
}
