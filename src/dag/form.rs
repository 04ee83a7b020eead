//! Which stages there are, and the form that each must have in a graph to be able to run.
//!
//! Does not know what a stage does with the results that it needs.

use super::error::DagError;
use super::spec::{Each, Spec, StageSpec};

/// A stage that a graph may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageForm<'f> {
    /// Its name.
    pub name: &'f str,
    /// Whether it has one task for each source, not one for all.
    pub each: bool,
    /// The stages whose results it reads; a graph may let it wait for others too.
    pub needs: &'f [&'f str],
}

impl StageForm<'_> {
    /// As a graph file would have it.
    fn written(&self) -> String {
        let each = self.each.then(|| "each: sources".to_owned());
        let needs = (!self.needs.is_empty()).then(|| format!("needs: [{}]", self.needs.join(", ")));
        let inner: Vec<String> = each.into_iter().chain(needs).collect();
        format!("{}: {{{}}}", self.name, inner.join(", "))
    }

    /// Why the stage as it is in the file cannot run.
    fn fault(&self, stage: &StageSpec) -> Option<String> {
        match (self.each, stage.each) {
            (true, None) => return Some("must have `each: sources`".to_owned()),
            (false, Some(Each::Sources)) => {
                return Some("is one task for all sources and cannot have `each`".to_owned());
            }
            (true, Some(Each::Sources)) | (false, None) => {}
        }
        let is_missing = |need: &&&str| !stage.needs.iter().any(|other| other == *need);
        let missing: Vec<String> =
            self.needs.iter().filter(is_missing).map(|need| format!("`{need}`")).collect();
        (!missing.is_empty()).then(|| {
            format!("reads the results of {}, so its `needs` must name them", missing.join(" and "))
        })
    }
}

#[cfg(test)]
impl StageForm<'_> {
    /// Of each stage of a graph the form that it has there: for tests with stages of their own.
    pub fn as_in(spec: &Spec) -> Vec<StageForm<'_>> {
        let stages = spec.stages.iter();
        stages
            .map(|stage| StageForm { name: &stage.name, each: stage.each.is_some(), needs: &[] })
            .collect()
    }
}

/// Every stage of the file must have its form.
pub(super) fn check_forms(spec: &Spec, forms: &[StageForm<'_>]) -> Result<(), DagError> {
    for stage in &spec.stages {
        let form = forms.iter().find(|form| form.name == stage.name);
        if let Some((form, fault)) = form.and_then(|form| Some((form, form.fault(stage)?))) {
            return Err(DagError::Form {
                file: spec.file.clone(),
                line: stage.line,
                stage: stage.name.clone(),
                fault,
                hint: format!("write `{}`", form.written()),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMS: [StageForm<'static>; 3] = [
        StageForm { name: "a", each: true, needs: &[] },
        StageForm { name: "b", each: true, needs: &["a"] },
        StageForm { name: "c", each: false, needs: &["a", "b"] },
    ];

    fn check(stages: &str) -> Result<(), DagError> {
        let text = format!("version: 1\nname: x\nstages:\n{stages}");
        check_forms(&Spec::parse(&text, "x.yaml").unwrap(), &FORMS)
    }

    #[test]
    fn a_stage_may_wait_for_more_than_it_reads_and_stages_at_the_end_may_be_missing() {
        let (a, b) = ("  a: {each: sources}\n", "  b: {each: sources, needs: [a]}\n");
        check(a).unwrap();
        check(&[a, b].concat()).unwrap();
        check(&[a, b, "  c: {needs: [b, a]}\n"].concat()).unwrap();
        check(&[b, "  a: {each: sources, needs: [d]}\n  d:\n"].concat()).unwrap();
    }

    #[test]
    fn a_stage_of_another_form_is_named_with_its_line_and_what_to_write() {
        for (stages, fault, hint) in [
            ("  a:\n", "line 4: the stage `a` must have `each: sources`", "a: {each: sources}"),
            (
                "  a: {each: sources}\n  b: {each: sources}\n",
                "line 5: the stage `b` reads the results of `a`, so its `needs` must name them",
                "b: {each: sources, needs: [a]}",
            ),
            (
                "  c: {each: sources, needs: [a, b]}\n",
                "line 4: the stage `c` is one task for all sources and cannot have `each`",
                "c: {needs: [a, b]}",
            ),
            (
                "  c: {}\n",
                "line 4: the stage `c` reads the results of `a` and `b`, so its `needs` must name them",
                "c: {needs: [a, b]}",
            ),
            (
                "  c: {needs: [a]}\n",
                "line 4: the stage `c` reads the results of `b`, so its `needs` must name them",
                "c: {needs: [a, b]}",
            ),
        ] {
            let error = check(stages).unwrap_err();
            assert_eq!(error.to_string(), format!("`x.yaml` {fault}"));
            assert_eq!(error.hint(), Some(&*format!("write `{hint}`")));
        }
    }
}
