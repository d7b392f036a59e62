//! The image of what holds a job's network: this machine's `ip`, and the libraries that it
//! needs, and nothing else. No registry is asked, and nothing is downloaded.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::digest;
use bollard::query_parameters::CreateImageOptionsBuilder;
use tokio_stream::StreamExt as _;

use crate::engine::{Engine, EngineError, Result};

const REPOSITORY: &str = "kozmic-sandbox";
/// Where administrators' programs lie, besides PATH.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// An image that is here, and the program in it.
#[derive(Debug, Clone)]
pub(super) struct IpImage {
    pub(super) name: String,
    pub(super) program: String,
}

impl Engine {
    /// Made where the engine has it not yet. Its name tells what is in it.
    pub(super) async fn ip_image(&self) -> Result<IpImage> {
        let packed = tokio::task::spawn_blocking(pack).await;
        let packed = packed.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
        let (program, archive) =
            packed.map_err(|error| EngineError::NoSandbox(error.to_string()))?;
        let tag = hex::encode(&digest::digest(&digest::SHA256, &archive).as_ref()[..8]);
        let name = format!("{REPOSITORY}:{tag}");
        if self.image_id(&name).await?.is_none() {
            let options =
                CreateImageOptionsBuilder::new().from_src("-").repo(REPOSITORY).tag(&tag).build();
            let body = bollard::body_full(archive.into());
            let mut answer = Box::pin(self.slow.create_image(Some(options), Some(body), None));
            while let Some(step) = answer.next().await {
                step.map_err(|e| self.failed("take the image that holds networks", e))?;
            }
        }
        Ok(IpImage { name, program })
    }
}

/// The program's path, and a tar of it with its libraries.
fn pack() -> io::Result<(String, Vec<u8>)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    let program = folders.map(|folder| folder.join("ip")).find(|program| program.is_file());
    let program = program.ok_or_else(|| {
        io::Error::other("the program `ip` is not on the worker's machine (Debian: iproute2)")
    })?;
    let mut archive = tar::Builder::new(Vec::new());
    for file in std::iter::once(program.clone()).chain(libraries(&program)?) {
        let content = std::fs::read(&file)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        let inside = file.strip_prefix("/").unwrap_or(&file);
        archive.append_data(&mut header, inside, content.as_slice())?;
    }
    Ok((program.display().to_string(), archive.into_inner()?))
}

/// What the dynamic linker would load. A static program has none.
fn libraries(program: &Path) -> io::Result<Vec<PathBuf>> {
    let told = Command::new("ldd").arg(program).output().map_err(|error| {
        io::Error::new(error.kind(), format!("`ldd`, which tells what `ip` needs: {error}"))
    })?;
    let told = String::from_utf8_lossy(&told.stdout);
    Ok(told.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}
