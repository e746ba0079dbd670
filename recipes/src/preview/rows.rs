//! Rows chosen and drawn; images rendered.

use std::sync::Arc;

use millstream_pipeline::encodings::{Mark, StreamFacts, View};
use millstream_pipeline::{Damage, Drawn, MarkReader, PipelineError, Row, Value, decode, row_in_words};
use millstream_schemas::RowId;
use millstream_schemas::recipe::{DamagedPolicy, DataRecipe};
use millstream_transforms::{DrawKey, ImageDrawing, RgbImage, Scratch};

use super::contact_sheet::{Cell, lay_out};
use super::lettering::Line;
use super::overlay::{box_classes, legend};
use super::{Drawing, DrawnPreview, DrawnRow, PreviewOptions};
use crate::RecipeError;
use crate::row_source::RowSource;

/// A picture is shown at least as large as its caption needs, and at most so large that a sheet fits on a screen.
const SIDES: std::ops::RangeInclusive<u32> = 160..=256;

pub(super) fn draw(
    source: &RowSource,
    data: &DataRecipe,
    options: &PreviewOptions,
    seed: u64,
) -> Result<Vec<DrawnRow>, RecipeError> {
    let rows = source.dataset.rows();
    let wanted = (options.rows as u64).min(rows);
    // Spread evenly, so that sorted data shows its variety; the seed moves the start.
    let start = u64::from(DrawKey { seed, epoch: 0, row: 0 }.random("preview", 0).next_u32()) % rows;
    let mut drawn = Vec::new();
    for number in 0..wanted {
        let id = source.dataset.row_at((start + number * rows / wanted) % rows);
        drawn.extend(unless_left_out(source, data, draw_row(source, options, seed, &id))?);
    }
    Ok(drawn)
}

/// What became of a row; none where it is damaged and the recipe says to leave such rows out. Says what its image is called.
pub(super) fn unless_left_out<T>(
    source: &RowSource,
    data: &DataRecipe,
    row: Result<T, RecipeError>,
) -> Result<Option<T>, RecipeError> {
    match row {
        Err(RecipeError::Pipeline(PipelineError::Damaged { row, image, damage })) => {
            let image = image.or_else(|| source.dataset.image_name(&row));
            if data.damaged == DamagedPolicy::Fail {
                return Err(PipelineError::Damaged { row, image, damage }.into());
            }
            tracing::warn!("{} is left out: {damage}", row_in_words(&row, image.as_deref()));
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Reads what is shown of rows' targets.
struct Marks<'a> {
    /// As the recipe says.
    plain: MarkReader<'a>,
    /// With the classes of boxes that it leaves out, where there are such.
    with_classes: Option<MarkReader<'a>>,
}

impl<'a> Marks<'a> {
    fn new(source: &'a RowSource, with_classes: Option<&'a RowSource>, seed: u64) -> Result<Self, PipelineError> {
        let reader = |source: &'a RowSource| {
            let stream = StreamFacts { dataset: &source.dataset, chain: &source.chain, seed };
            MarkReader::new(&source.encoders, &stream)
        };
        // a row is read once for both
        let with_classes = with_classes.filter(|other| other.encoders.columns() == source.encoders.columns());
        Ok(Self { plain: reader(source)?, with_classes: with_classes.and_then(|source| reader(source).ok()) })
    }

    /// Without classes where those of the row cannot be used: training does not read them.
    fn of(&self, row: &Row, drawing: &ImageDrawing) -> Result<Vec<Mark>, PipelineError> {
        let with_classes = self.with_classes.as_ref().and_then(|reader| reader.marks(row, Drawn::Image(drawing)).ok());
        with_classes.map_or_else(|| self.plain.marks(row, Drawn::Image(drawing)), Ok)
    }
}

fn draw_row(source: &RowSource, options: &PreviewOptions, seed: u64, id: &RowId) -> Result<DrawnRow, RecipeError> {
    let (column, view) = source.shown_column()?;
    let is_text = view == View::Text;
    let row = source.dataset.read_row(id, source.encoders.columns())?;
    let label = class_name(source, &row)?;
    let draws = (0..options.draws as u64).map(|epoch| {
        let key = DrawKey { seed, epoch, row: id.key() };
        Ok(match row.get(&column) {
            Some(Value::Text(text)) => Drawing::Text(source.chain.draw_text(text, &key)?),
            Some(Value::Bytes(bytes)) => {
                let header = decode::header(bytes).map_err(|error| damaged(id, error.into()))?;
                Drawing::Image(source.chain.draw_image(&header.facts, &key)?)
            }
            _ if is_text => return Err(damaged(id, Damage::NullInput)),
            _ => return Err(damaged(id, Damage::NoImageBytes)),
        })
    });
    let draws = draws.collect::<Result<_, RecipeError>>()?;
    Ok(DrawnRow { file: id.file.to_string(), row_group: id.row_group, row: id.row, label, draws })
}

fn class_name(source: &RowSource, row: &Row) -> Result<Option<String>, RecipeError> {
    let class = source.encoders.class(row.values());
    let class = class.map_err(|damage| damaged(&row.id, damage))?;
    Ok(usize::try_from(class).ok().and_then(|class| source.classes().get(class)).cloned())
}

fn damaged(id: &RowId, damage: Damage) -> RecipeError {
    PipelineError::Damaged { row: id.clone(), image: None, damage }.into()
}

pub(super) fn render(
    source: &RowSource,
    with_classes: Option<&RowSource>,
    data: &DataRecipe,
    drawn: &DrawnPreview,
) -> Result<RgbImage, RecipeError> {
    let reader = Marks::new(source, with_classes, drawn.seed)?;
    let mut scratch = Scratch::default();
    let mut lines = Vec::new();
    for row in &drawn.rows {
        lines.extend(unless_left_out(source, data, render_row(source, data, &reader, row, &mut scratch))?);
    }
    let sides = lines.iter().flat_map(|line| &line[1..]).map(|cell| cell.image.width.max(cell.image.height));
    let side = sides.max().unwrap_or(0).clamp(*SIDES.start(), *SIDES.end());
    let draws = drawn.rows.iter().map(|row| row.draws.len()).max().unwrap_or(0);
    let headings: Vec<_> =
        std::iter::once("original".to_owned()).chain((1..=draws).map(|draw| format!("epoch {draw}"))).collect();
    Ok(lay_out(&lines, &headings, side))
}

/// The original with its boxes and points, and each draw with the row's targets over it.
fn render_row(
    source: &RowSource,
    data: &DataRecipe,
    reader: &Marks<'_>,
    row: &DrawnRow,
    scratch: &mut Scratch,
) -> Result<Vec<Cell>, RecipeError> {
    let (column, _) = source.shown_column()?;
    let read = source.dataset.read_row(&row_id(row), source.encoders.columns())?;
    let Some(Value::Bytes(bytes)) = read.get(&column) else {
        return Err(RecipeError::ReplayKind { drawn: "images", data: "text" });
    };
    let original = decode::decode(bytes, data.transparency).map_err(|error| damaged(&read.id, error.into()))?;
    let mut cells = Vec::new();
    for drawing in &row.draws {
        let Drawing::Image(drawing) = drawing else {
            return Err(RecipeError::ReplayKind { drawn: "text", data: "images" });
        };
        let image = drawing.render_rgb8(&original, scratch)?;
        let marks = reader.of(&read, drawing)?;
        let steps = drawing.steps.iter().filter(|drawn| !drawn.step.is_for_models());
        let caption = steps.map(|drawn| drawn.to_string().into()).collect();
        cells.push(Cell { image, marks, caption });
    }
    let untouched = ImageDrawing { source: original.facts(), steps: Vec::new() };
    // targets as large as what the transforms make are not those of the picture as it is; what is wrong with them is told above
    let mut marks = reader.of(&read, &untouched).unwrap_or_default();
    marks.retain(|mark| matches!(mark, Mark::Box { .. } | Mark::Point { .. }));
    let drawn = cells.iter().flat_map(|cell: &Cell| &cell.marks);
    let named = row.label.clone().or_else(|| box_classes(marks.iter().chain(drawn)));
    let mut caption: Vec<Line> = named.into_iter().map(Into::into).collect();
    caption.extend(legend(cells.iter().flat_map(|cell: &Cell| &cell.marks)));
    caption.push(format!("{}×{}", original.width, original.height).into());
    caption.push(row_id(row).to_string().into());
    cells.insert(0, Cell { image: original, marks, caption });
    Ok(cells)
}

pub(super) fn row_id(row: &DrawnRow) -> RowId {
    RowId { file: Arc::from(row.file.as_str()), row_group: row.row_group, row: row.row }
}
