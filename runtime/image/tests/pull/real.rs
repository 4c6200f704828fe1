//! A real `docker-registry`, filled by skopeo.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nacelle_image::{DockerConfig, ImageContent, PullErrorKind, PullOptions, PullPolicy};

use crate::images::{COMPONENT, Image};
use crate::{options, reference, skip, store};

struct Registry {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
    user: Option<&'static str>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn works(program: &str, argument: &str) -> bool {
    let status = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

impl Registry {
    /// `None`, having said so, where the programs are missing.
    fn start(user: Option<&'static str>) -> Option<Self> {
        for (program, argument) in [("docker-registry", "--help"), ("skopeo", "--version")] {
            if !works(program, argument) {
                skip(&format!("{program} is not installed (Debian package {program})"));
                return None;
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let mut auth = String::new();
        if user.is_some() {
            let htpasswd = match Command::new("htpasswd").args(["-Bbn", "user", "secret"]).output() {
                Ok(output) if output.status.success() => output.stdout,
                _ => {
                    skip("htpasswd is not installed (Debian package apache2-utils)");
                    return None;
                }
            };
            let file = dir.path().join("htpasswd");
            std::fs::write(&file, htpasswd).unwrap();
            auth = format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", file.display());
        }
        // Somebody else may take the port before the registry does: then another.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let text = format!(
                "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n{auth}",
                dir.path().join("data").display()
            );
            let file = dir.path().join("config.yml");
            std::fs::write(&file, text).unwrap();
            let mut child = Command::new("docker-registry")
                .arg("serve")
                .arg(&file)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut log = BufReader::new(child.stderr.take().unwrap());
            let mut line = String::new();
            let mut listening = false;
            while log.read_line(&mut line).is_ok_and(|count| count > 0) {
                if line.contains("listening on") {
                    listening = true;
                    break;
                }
                line.clear();
            }
            // Keeps the pipe empty, so that the registry never waits for its log.
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            if listening && TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(Self { child, port, dir, user });
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("docker-registry does not listen");
    }

    fn push(&self, image: &Image, name: &str) -> String {
        let layout = self.dir.path().join(format!("layout-{}", name.replace(['/', ':'], "-")));
        image.write_layout(&layout, &["v1"]);
        self.push_layout(&layout, name)
    }

    fn push_layout(&self, layout: &Path, name: &str) -> String {
        let target = format!("127.0.0.1:{}/{name}", self.port);
        let mut command = Command::new("skopeo");
        command.args(["copy", "--all", "--preserve-digests", "--insecure-policy", "--dest-tls-verify=false"]);
        if let Some(user) = self.user {
            command.args(["--dest-creds", user]);
        }
        let output =
            command.arg(format!("oci:{}:v1", layout.display())).arg(format!("docker://{target}")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        target
    }
}

#[tokio::test]
async fn every_shape_of_image() {
    let Some(registry) = Registry::start(None) else { return };
    let (_dir, store) = store();
    let wasm = Image::files("wasi", "wasm", &[&[("app.wasm", COMPONENT)], &[("b", b"2")]]);
    let linux = Image::files("linux", &nacelle_image::Platform::host().architecture, &[&[("bin/sh", b"elf")]]);
    let artifact = Image::artifact(COMPONENT);
    let index =
        Image::index(&[("linux", &nacelle_image::Platform::host().architecture, &linux), ("wasi", "wasm", &wasm)]);
    for (image, name) in
        [(&artifact, "team/artifact:v1"), (&wasm, "files:v1"), (&index, "index:v1"), (&linux, "linux:v1")]
    {
        let name = registry.push(image, name);
        let pulled = store.pull(&reference(&name), options(PullPolicy::Always)).await.unwrap();
        assert_eq!(pulled.manifest_digest, image.top, "{name}");
        match (&pulled.content, name.contains("linux"), name.contains("artifact")) {
            (ImageContent::Component { path, .. }, false, true) => assert_eq!(std::fs::read(path).unwrap(), COMPONENT),
            (ImageContent::RootFs { dir, .. }, false, false) => assert!(dir.join("app.wasm").exists()),
            (ImageContent::Linux { .. }, true, false) => {}
            (other, ..) => panic!("{name}: {other:?}"),
        }
    }
    let missing = reference(&format!("127.0.0.1:{}/files:none", registry.port));
    let error = store.pull(&missing, options(PullPolicy::Always)).await.unwrap_err();
    assert!(matches!(error.kind(), PullErrorKind::NotFound { .. }), "{error:?}");
    let listed = store.list().unwrap();
    assert_eq!(listed.len(), 4, "the index and its member are two ways to name things: {listed:#?}");
}

#[tokio::test]
async fn htpasswd() {
    let Some(registry) = Registry::start(Some("user:secret")) else { return };
    let name = registry.push(&Image::artifact(COMPONENT), "private:v1");
    let (_dir, store) = store();
    let with = |password: &str| {
        let text = format!(
            r#"{{"auths":{{"http://127.0.0.1:{}/v2/":{{"username":"user","password":"{password}"}}}}}}"#,
            registry.port
        );
        PullOptions { auth: vec![DockerConfig::parse(text.as_bytes()).unwrap()], ..options(PullPolicy::Always) }
    };
    for how in [options(PullPolicy::Always), with("wrong")] {
        let error = store.pull(&reference(&name), how).await.unwrap_err();
        assert!(matches!(error.kind(), PullErrorKind::Unauthorized { .. }), "{error:?}");
    }
    store.pull(&reference(&name), with("secret")).await.unwrap();
}

#[tokio::test]
async fn an_image_of_umoci_without_media_types() {
    if !works("umoci", "--version") {
        return skip("umoci is not installed (Debian package umoci)");
    }
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let bundle = dir.path().join("files");
    std::fs::create_dir(&bundle).unwrap();
    std::fs::write(bundle.join("app.wasm"), COMPONENT).unwrap();
    let image = format!("{}:v1", layout.display());
    for arguments in [
        vec!["init", "--layout", layout.to_str().unwrap()],
        vec!["new", "--image", &image],
        vec!["insert", "--rootless", "--image", &image, bundle.to_str().unwrap(), "/srv"],
        vec![
            "config",
            "--image",
            &image,
            "--os",
            "wasi",
            "--architecture",
            "wasm",
            "--config.entrypoint",
            "/srv/app.wasm",
        ],
    ] {
        let output = Command::new("umoci").args(&arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let (_store_dir, store) = store();
    let pulled = store.pull(&reference(&format!("oci:{image}")), options(PullPolicy::Always)).await.unwrap();
    let ImageContent::RootFs { dir, .. } = &pulled.content else { panic!("{:?}", pulled.content) };
    assert_eq!(std::fs::read(dir.join("srv/app.wasm")).unwrap(), COMPONENT);
    assert_eq!(pulled.config.entrypoint, ["/srv/app.wasm"]);
}
