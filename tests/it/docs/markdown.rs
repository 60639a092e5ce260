//! As much of Markdown as the documentation uses: fenced blocks, code spans, links, headings, tables.

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
pub struct Fence {
    /// The words behind the opening fence.
    pub info: Vec<String>,
    pub text: String,
    /// The line of the opening fence, counted from 1.
    pub line: usize,
}

impl Fence {
    pub fn is(&self, word: &str) -> bool {
        self.info.iter().any(|found| found == word)
    }
}

/// A page, taken apart.
#[derive(Debug, Default)]
pub struct Page {
    pub fences: Vec<Fence>,
    /// Everything outside fenced blocks, line by line, with line numbers.
    pub prose: Vec<(usize, String)>,
}

impl Page {
    pub fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut open: Option<Fence> = None;
        for (index, line) in text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (open.take(), fence) {
                (None, Some(info)) => {
                    let info = info.split_whitespace().map(str::to_owned).collect();
                    open = Some(Fence { info, text: String::new(), line: index + 1 });
                }
                (None, None) => page.prose.push((index + 1, line.to_owned())),
                (Some(fence), Some(_)) => page.fences.push(fence),
                (Some(mut fence), None) => {
                    fence.text.push_str(line);
                    fence.text.push('\n');
                    open = Some(fence);
                }
            }
        }
        assert!(open.is_none(), "a fenced block is never closed: {open:?}");
        page
    }

    /// Texts between back-quotes, with their lines.
    pub fn code_spans(&self) -> impl Iterator<Item = (usize, &str)> {
        self.prose.iter().flat_map(|(line, text)| {
            text.split('`').enumerate().filter(|(index, _)| index % 2 == 1).map(|(_, span)| (*line, span))
        })
    }

    /// The targets of links.
    pub fn links(&self) -> impl Iterator<Item = (usize, String)> {
        self.prose.iter().flat_map(|(line, text)| {
            let plain: String = text.split('`').step_by(2).collect();
            let targets: Vec<String> =
                plain.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect();
            targets.into_iter().map(|target| (*line, target))
        })
    }

    /// What a link to each heading has behind its `#`.
    pub fn anchors(&self) -> Vec<String> {
        self.prose.iter().filter(|(_, line)| line.starts_with('#')).map(|(_, line)| anchor(line)).collect()
    }

    /// The rows of the first table below a heading, without its own heading; cells without their back-quotes.
    pub fn rows(&self, heading: &str) -> Vec<Vec<String>> {
        let below = self
            .prose
            .iter()
            .map(|(_, text)| text.trim())
            .skip_while(|text| !text.starts_with('#') || text.trim_start_matches('#').trim() != heading);
        let table = below.skip_while(|text| !text.starts_with('|')).take_while(|text| text.starts_with('|'));
        let cells =
            |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
        table.skip(2).map(cells).collect()
    }

    /// The first cells of the rows of the tables below a heading, as they are written.
    pub fn first_cells(&self, heading: &str) -> Vec<&str> {
        let lines = self.prose.iter().map(|(_, line)| line.as_str());
        let below = lines.skip_while(|line| !is_heading(line, heading)).skip(1);
        let rows = below.take_while(|line| !line.starts_with('#')).filter_map(|line| line.strip_prefix('|'));
        rows.filter_map(|row| Some(row.split('|').next()?.trim())).filter(|cell| !cell.starts_with("--")).collect()
    }
}

fn is_heading(line: &str, heading: &str) -> bool {
    line.starts_with('#') && line.trim_start_matches('#').trim() == heading
}

fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[test]
fn a_page_is_taken_apart() {
    let page = Page::parse(
        "# A `b` c\nsee [x](y.md#z) and `a](b)` `c d`\n```toml k refused\nm = 1\n```\n## T\n| `q` | 1 |\n|--|--|\n",
    );
    assert_eq!(page.anchors(), ["a-b-c", "t"]);
    assert_eq!(page.links().collect::<Vec<_>>(), [(2, "y.md#z".to_owned())]);
    assert_eq!(page.code_spans().collect::<Vec<_>>(), [(1, "b"), (2, "a](b)"), (2, "c d"), (7, "q")]);
    assert_eq!(page.first_cells("T"), ["`q`"]);
    assert!(page.fences[0].is("refused") && page.fences[0].text == "m = 1\n" && page.fences[0].line == 3);
}
