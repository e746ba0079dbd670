use crate::CompilerError;

/// Most nodes that functions, branches and loops are written out to; one with several outputs counts as so many.
const MOST_NODES: usize = 1 << 16;
/// Most bytes of names and attributes in them.
const MOST_BYTES: usize = 64 << 20;

/// Most functions, branches and turns inside each other.
const MOST_DEPTH: usize = 64;

/// What writing out functions, branches and loops may still take: a few lines of a file can stand for any number of nodes.
pub(super) struct Budget {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { nodes: MOST_NODES, bytes: MOST_BYTES, depth: 0 }
    }

    /// Takes so much of it, or refuses what `what` says.
    pub(super) fn take(&mut self, nodes: usize, bytes: usize, what: &dyn Fn() -> String) -> Result<(), CompilerError> {
        let left = self.nodes.checked_sub(nodes).zip(self.bytes.checked_sub(bytes));
        let Some(left) = left else {
            return Err(CompilerError::unsupported(
                what(),
                format!(
                    "functions, branches and loops are written out to at most {MOST_NODES} nodes with {MOST_BYTES} bytes of \
                     names and attributes"
                ),
            ));
        };
        (self.nodes, self.bytes) = left;
        Ok(())
    }

    /// Goes into a function, a branch or a turn, or refuses what `what` says.
    pub(super) fn enter(&mut self, what: &dyn Fn() -> String) -> Result<(), CompilerError> {
        self.depth += 1;
        if self.depth <= MOST_DEPTH {
            return Ok(());
        }
        let advice = format!("functions, branches and loops are followed {MOST_DEPTH} deep");
        Err(CompilerError::unsupported(what(), advice))
    }

    /// Comes out of it again.
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }
}
