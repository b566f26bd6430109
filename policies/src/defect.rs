//! What is wrong in a data file, where, and what to write instead. Reading the file is the I/O shell's work.

use std::fmt;
use std::ops::Range;

/// One fault at one place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}; {remedy}")]
pub struct Defect {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Characters from the line's beginning, counted from 1.
    pub column: usize,
    pub problem: String,
    pub remedy: String,
}

/// All faults of one file, in the order they stand in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Defects(pub Vec<Defect>);

impl fmt::Display for Defects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, defect) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            defect.fmt(f)?;
        }
        Ok(())
    }
}

/// A file's text under examination: collects faults by their place in bytes.
pub(crate) struct Examiner<'a> {
    file: &'a str,
    text: &'a str,
    defects: Vec<(usize, Defect)>,
}

impl<'a> Examiner<'a> {
    pub(crate) const fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, defects: Vec::new() }
    }

    pub(crate) fn report(
        &mut self,
        span: Range<usize>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let defect = Defect {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            problem: problem.into(),
            remedy: remedy.into(),
        };
        self.defects.push((span.start, defect));
    }

    /// A fault that the TOML reader found.
    pub(crate) fn report_toml(&mut self, error: &toml::de::Error, remedy: &str) {
        let problem = error.message().replace('\n', ", ");
        self.report(error.span().unwrap_or(0..0), problem, remedy);
    }

    pub(crate) fn finish<T>(mut self, value: T) -> Result<T, Defects> {
        if self.defects.is_empty() {
            return Ok(value);
        }
        self.defects.sort_by_key(|(place, _)| *place);
        Err(Defects(self.defects.into_iter().map(|(_, defect)| defect).collect()))
    }

    /// For a file whose text could not be read at all.
    pub(crate) fn fail(self) -> Defects {
        Defects(self.defects.into_iter().map(|(_, defect)| defect).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_stand_in_the_order_of_the_file() {
        let text = "một = 1\nhai = 2\n";
        let mut examiner = Examiner::new("d.toml", text);
        let place = |word: &str| text.find(word).map_or(0..0, |at| at..at + word.len());
        examiner.report(place("2"), "two is too many", "write one");
        examiner.report(place("= 1"), "one is too few", "write two");
        assert_eq!(
            examiner.finish(()).unwrap_err().to_string(),
            "d.toml:1:5: one is too few; write two\nd.toml:2:7: two is too many; write one"
        );
    }

    #[test]
    fn a_file_without_a_fault_gives_its_value() {
        assert_eq!(Examiner::new("d.toml", "").finish(7), Ok(7));
    }
}
