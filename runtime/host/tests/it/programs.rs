//! Which program an image with a root filesystem runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use nacelle_container::Program;
use nacelle_host::{Attach, ContainerRequest, ImageSource, StartError, VolumeMount};
use nacelle_infra::{Medium, Propagation, VolumeConfig, VolumeSource};

use crate::fake::{Fixture, id, request};

/// `sha256` of `"\0asm"`.
const DIGEST: &str = "sha256:cd5d4935a48c0672cb06407bb443bc0087aff947c6b864bac886982c73b3027f";

struct Image {
    fixture: Fixture,
    dir: PathBuf,
}

impl Image {
    async fn new() -> Self {
        let fixture = Fixture::new();
        let dir = fixture.temp.path().join("image");
        for path in ["app.wasm", "usr/bin/tool", "srv/local.wasm"] {
            fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
            fs::write(dir.join(path), "\0asm").unwrap();
        }
        fs::write(dir.join("usr/bin/ls"), "\x7fELF...").unwrap();
        fs::write(dir.join("usr/bin/script"), "#!/bin/sh\n").unwrap();
        fs::write(dir.join("usr/bin/text"), "hello").unwrap();
        symlink("/usr/bin", dir.join("bin")).unwrap();
        symlink("/etc/passwd", dir.join("usr/bin/escape")).unwrap();
        symlink("../../../../../../../../etc/passwd", dir.join("up")).unwrap();
        let data = VolumeConfig {
            name: "data".into(),
            source: VolumeSource::EmptyDir { medium: Medium::Disk, size_limit: None },
        };
        let _ = fixture.pod("uid", vec![data]).await;
        fs::write(fixture.pod_dir("uid").join("volumes/data/guest.wasm"), "\0asm").unwrap();
        Self { fixture, dir }
    }

    /// What runs when the container's command is `program`.
    async fn program(&self, program: &str, path: Option<&str>) -> Result<Program, StartError> {
        let request = ContainerRequest {
            image: ImageSource::RootFs { dir: self.dir.clone(), digest: "sha256:image".into() },
            argv: vec![program.into()],
            env: path.map(|path| ("PATH".into(), path.into())).into_iter().collect(),
            working_dir: "/srv".into(),
            mounts: vec![VolumeMount {
                volume: "data".into(),
                path: "/data".into(),
                sub_path: None,
                read_only: false,
                recursive_read_only: false,
                propagation: Propagation::Private,
            }],
            ..request(id("uid", 0))
        };
        self.fixture.host.start_container(request, Attach::default()).await?;
        let container = self.fixture.fake(&id("uid", 0));
        let program = container.config.program.clone();
        assert_eq!(container.config.argv.len(), 1);
        let Program::Wasm { path, .. } = &program else { panic!("{program:?}") };
        assert_eq!(fs::read(path).unwrap(), b"\0asm");
        self.fixture.host.remove_container(&id("uid", 0)).await;
        Ok(program)
    }

    fn stored(&self, path: &str) -> Program {
        Program::Wasm { path: self.dir.join(path), digest: DIGEST.into() }
    }
}

#[tokio::test]
async fn programs_are_found_as_execvp_finds_them() {
    let image = Image::new().await;
    let cases = [
        ("/app.wasm", None, "app.wasm"),
        ("../app.wasm", None, "app.wasm"),
        ("./local.wasm", None, "srv/local.wasm"),
        ("tool", None, "usr/bin/tool"),
        ("/bin/tool", None, "usr/bin/tool"),
        ("app.wasm", Some("/none::/"), "app.wasm"),
        ("tool", Some("../bin"), "usr/bin/tool"),
        // As images of one component have it: a bare name in the working directory.
        ("local.wasm", None, "srv/local.wasm"),
    ];
    for (name, path, expected) in cases {
        assert_eq!(image.program(name, path).await.unwrap(), image.stored(expected), "{name}");
    }
}

#[tokio::test]
async fn a_program_in_a_volume_is_taken_as_it_is_now() {
    let image = Image::new().await;
    let program = image.program("/data/guest.wasm", None).await.unwrap();
    let Program::Wasm { path, digest } = program else { panic!("{program:?}") };
    assert!(path.starts_with(image.fixture.pod_dir("uid").join("containers")), "{}", path.display());
    assert_eq!(digest, DIGEST);
    assert!(!path.exists(), "the copy goes with its container");
}

#[tokio::test]
async fn what_cannot_run_says_why() {
    let image = Image::new().await;
    let cases = [
        ("none", "exec: \"none\": executable file not found in $PATH"),
        ("/none", "exec: \"/none\": No such file or directory"),
        ("/usr/bin", "exec: \"/usr/bin\": Is a directory"),
        ("/bin/escape", "exec: \"/bin/escape\": No such file or directory"),
        ("/up", "exec: \"/up\": No such file or directory"),
        ("", "exec: \"\": executable file not found in $PATH"),
    ];
    for (name, expected) in cases {
        match image.program(name, None).await {
            Err(StartError::Run { message }) => assert!(message.starts_with(expected), "{name}: {message}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    for (name, expected) in [
        ("ls", "no Linux containers run on this node"),
        ("script", "no Linux containers run on this node"),
        ("text", "is not a WebAssembly file"),
    ] {
        match image.program(name, None).await {
            Err(StartError::Create { message }) => assert!(message.contains(expected), "{name}: {message}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(image.fixture.containers("uid"), 0);
}
