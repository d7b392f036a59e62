//! The SSH host keys that are trusted.

use super::Invalid;

/// GitHub's, as <https://docs.github.com/authentication/keeping-your-account-and-data-secure/githubs-ssh-key-fingerprints>
/// publishes them, under both addresses of its SSH service.
const GITHUB: &str = "\
github.com,[ssh.github.com]:443 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl
github.com,[ssh.github.com]:443 ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=
";

/// Lines of a known_hosts file (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"); GitHub's
/// are always among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHosts(String);

impl KnownHosts {
    /// GitHub's keys and these.
    pub fn with(lines: &str) -> Result<Self, Invalid> {
        let mut all = GITHUB.to_owned();
        for (index, line) in lines.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            line.parse::<ssh_key::known_hosts::Entry>().map_err(|error| {
                Invalid::new(format!(
                    "line {} must be as in a known_hosts file, like \
                     `git.example.org ssh-ed25519 AAAA…` ({error})",
                    index + 1
                ))
            })?;
            all.push_str(line);
            all.push('\n');
        }
        Ok(Self(all))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn github_s_keys_are_those_it_publishes() {
        let fingerprints: Vec<String> = ssh_key::KnownHosts::new(GITHUB)
            .map(|entry| {
                entry.unwrap().public_key().fingerprint(ssh_key::HashAlg::Sha256).to_string()
            })
            .collect();
        assert_eq!(
            fingerprints,
            [
                "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
                "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM",
            ]
        );
    }

    #[test]
    fn lines_are_those_of_ssh() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        for line in [
            format!("git.example.org {key}"),
            format!("[git.example.org]:2222,10.0.0.7 {key} a comment"),
            format!("*.example.org,!evil.example.org {key}"),
            format!("|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= {key}"),
            format!("@revoked git.example.org {key}"),
            format!("\n  # a comment\n\ngit.example.org {key}\n"),
        ] {
            assert!(
                KnownHosts::with(&line)
                    .unwrap()
                    .as_str()
                    .contains(line.trim().lines().last().unwrap())
            );
        }
        for wrong in ["git.example.org", key, "git.example.org ssh-ed25519 AAAA", "@x a ssh-rsa b"]
        {
            let error = KnownHosts::with(&format!("\n{wrong}")).unwrap_err().to_string();
            assert!(error.starts_with("line 2 must be"), "{error}");
        }
    }
}
