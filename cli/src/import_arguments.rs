//! The command line of `import`.

use std::path::PathBuf;

use clap::Args;
use millstream::recipes::import::{BoxesOutside, SplitShare};
use millstream::schemas::recipe::ByteSize;

use crate::offered;
use crate::recipe_arguments::{size, whole_number};

/// Make Parquet of folders of images, of archives and of tables
///
/// A source is a folder with a folder for each class (`cat/1.jpg`), those in folders of splits (`train/cat/1.jpg`), a folder with `metadata.csv`
/// or `metadata.jsonl` (with `file_name` and further columns), images with boxes (COCO, YOLO) or masks, WebDataset, or tables by themselves: CSV,
/// TSV, JSON Lines; or an archive of any of these (.zip, .tar, .tar.gz). Images are embedded as they are.
/// Files are called as the Hugging Face Hub has them, and `datasets` reads them with the same features. Ctrl-C leaves whole files; the same
/// command goes on where it stopped.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  millstream import photos/ -o data/photos --split test=0.2\n  millstream import train.csv test.csv -o data/prices\n  \
    millstream import photos.zip -o data/photos\n  millstream import 'shard-{000..012}.tar' -o data/captions\n  millstream import coco/ -o data/coco\n  \
    millstream import list.csv -o data/birds --image path --label species --split validation=0.1 --split test=0.1"
)]
pub(crate) struct Import {
    /// Folders, archives and tables, or patterns of them (`shard-{000..012}.tar`); several are read as one
    #[arg(value_name = "SOURCE", required = true)]
    pub(crate) sources: Vec<PathBuf>,
    /// The folder for the Parquet files
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: PathBuf,
    /// The column of a table that becomes a class label with names; what the label of class folders is called
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label: Option<String>,
    /// A column of a table with paths of images, which count from the table's folder and stay in it; may be given several times
    #[arg(long = "image", value_name = "COLUMN")]
    pub(crate) images: Vec<String>,
    /// Read numbers of tables whose decimals have a comma (`0,5`, `1.234,5`)
    #[arg(long)]
    pub(crate) decimal_comma: bool,
    /// What becomes of boxes that reach more than a pixel out of their picture, at which a run ends: `keep`, `clip` (all boxes are cut at its
    /// edges, and those outside are left out) or `leave-out` (their rows are)
    #[arg(
        long,
        value_name = "keep|clip|leave-out",
        default_value = "keep",
        value_parser = offered::boxes_outside(),
        hide_possible_values = true
    )]
    pub(crate) boxes: BoxesOutside,
    /// Make a split of a share of the rows, of each class, for example `test=0.2`: which rows depends on their content and the seed alone;
    /// may be given several times
    #[arg(long = "split", value_name = "SPLIT=SHARE")]
    pub(crate) splits: Vec<SplitShare>,
    /// Decides which rows those are, and the order of images
    #[arg(long, default_value_t = 0, value_parser = whole_number::<u64>)]
    pub(crate) seed: u64,
    /// What the files' names begin with, instead of the source's name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Bytes of a file at most
    #[arg(long, value_name = "SIZE", default_value = "500 MB", value_parser = size)]
    pub(crate) shard_size: ByteSize,
    /// Replace what an import of other rows wrote into the folder
    #[arg(long)]
    pub(crate) overwrite: bool,
}
