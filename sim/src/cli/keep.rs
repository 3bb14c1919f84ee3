//! Writes what a scenario left: media and drive as sparse files, logs, console, report.

use crate::run::Evidence;
use std::fs;
use std::io;
use std::path::Path;

/// Writes everything of the last boot to `directory`, and the media of earlier boots to directories in it.
pub(super) fn keep(evidence: &Evidence, directory: &Path) -> io::Result<()> {
    let place = directory.join(&evidence.name);
    for (number, boot) in evidence.boots.iter().enumerate() {
        let is_last = number + 1 == evidence.boots.len();
        let place = if is_last { place.clone() } else { place.join(format!("boot-{}", number + 1)) };
        fs::create_dir_all(place.join("logs"))?;
        for (name, pages) in &boot.after.media {
            pages.dump(&place.join(format!("{name}.img")))?;
        }
        let records = boot.world.records();
        for (name, lines) in &records.logs {
            fs::write(place.join("logs").join(format!("{name}.log")), lines.join("\n") + "\n")?;
        }
        fs::write(place.join("console.log"), records.console.join("\n") + "\n")?;
        if let Some(report) = &records.report {
            fs::write(place.join("report.json"), report)?;
        }
    }
    Ok(())
}
