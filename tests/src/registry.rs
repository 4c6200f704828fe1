//! A real OCI registry (Debian's `docker-registry`) on a loopback port.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A user and a password for basic authentication.
#[derive(Clone, Copy, Debug)]
pub struct Credentials {
    /// The user's name.
    pub user: &'static str,
    /// The user's password.
    pub password: &'static str,
}

/// A running registry. Stopped when dropped.
pub struct Registry {
    child: Child,
    port: u16,
    credentials: Option<Credentials>,
    dir: tempfile::TempDir,
}

impl Registry {
    /// Starts a registry; with `credentials` it wants them.
    ///
    /// # Errors
    /// When it cannot be started or does not answer.
    pub fn start(credentials: Option<Credentials>) -> Result<Self> {
        Self::launch(credentials, false)
    }

    /// Starts a registry that speaks https, with a certificate for `registry.test` by an authority of its own.
    ///
    /// # Errors
    /// When it cannot be started or does not answer.
    pub fn start_tls() -> Result<Self> {
        Self::launch(None, true)
    }

    /// The certificate of the authority behind [`Registry::start_tls`].
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The registry's port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn launch(credentials: Option<Credentials>, tls: bool) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("nacelle-registry-").tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let root = dir.path().display();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}/data}}}}\n\
             http:\n  addr: '127.0.0.1:{port}'\n"
        );
        if tls {
            certify(dir.path())?;
            config.push_str(&format!("  tls: {{certificate: {root}/server.pem, key: {root}/server.key}}\n"));
        }
        if let Some(Credentials { user, password }) = credentials {
            let entry = Command::new("htpasswd").args(["-nbB", user, password]).output().context("htpasswd")?;
            std::fs::write(dir.path().join("htpasswd"), entry.stdout)?;
            config.push_str(&format!("auth: {{htpasswd: {{realm: test, path: {root}/htpasswd}}}}\n"));
        }
        let file = dir.path().join("config.yml");
        std::fs::write(&file, config)?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("docker-registry")?;
        let mut registry = Self { child, port, credentials, dir };
        registry.wait_until_it_answers()?;
        Ok(registry)
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Copies `name` from an OCI layout folder into the registry and returns its reference.
    ///
    /// # Errors
    /// When the copy fails.
    pub fn push(&self, layout: &Path, layout_tag: &str, name: &str) -> Result<String> {
        let reference = format!("{}/{name}", self.address());
        let mut command = Command::new("skopeo");
        command.args(["copy", "--insecure-policy", "--dest-tls-verify=false"]);
        if let Some(Credentials { user, password }) = self.credentials {
            command.arg(format!("--dest-creds={user}:{password}"));
        }
        let output = command
            .arg(format!("oci:{}:{layout_tag}", layout.display()))
            .arg(format!("docker://{reference}"))
            .output()
            .context("skopeo")?;
        if !output.status.success() {
            bail!("skopeo: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(reference)
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("docker-registry ended with {status}");
            }
            if Instant::now() > deadline {
                bail!("docker-registry does not answer");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Makes `ca.pem`, `server.pem` and `server.key`.
fn certify(dir: &Path) -> Result<()> {
    const SCRIPT: &str = r#"set -e
new="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl req -x509 $new -keyout ca.key -out ca.pem -days 2 -subj "/CN=authority of a test"
openssl req $new -keyout server.key -out server.csr -subj /CN=registry.test
echo subjectAltName=DNS:registry.test > names
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names"#;
    let output = Command::new("sh").args(["-c", SCRIPT]).current_dir(dir).output()?;
    if !output.status.success() {
        bail!("openssl: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
