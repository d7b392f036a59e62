//! What is to be said of a hook while somebody writes it: by the code that saves it, and by
//! what the store knows. No registry is asked, so that nobody can make the server call
//! where they like.

use axum::extract::State;
use axum::{Form, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::error::PageError;
use super::hook_form::HookForm;
use super::page::Time;
use super::visitor::Access;
use crate::model::{DockerImage, Script, Timestamp};
use crate::store::{HookPlan, Project, StoreError};

#[derive(Serialize, ToSchema)]
pub(super) struct Checked {
    /// For which it would not be saved.
    problems: Vec<Said>,
    /// What is good to know.
    notes: Vec<Said>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Remark)]
struct Said {
    /// Empty: of the hook as a whole.
    field: &'static str,
    sentence: String,
    /// It can be saved, and would hardly run as it was meant.
    is_trap: bool,
}

/// Changes nothing.
pub(super) async fn check(
    State(app): State<App>,
    Access { project, .. }: Access,
    Form(form): Form<HookForm>,
) -> Result<Json<Checked>, PageError> {
    Ok(Json(checked(&app, &project, &form).await?))
}

pub(super) async fn checked(
    app: &App,
    project: &Project,
    form: &HookForm,
) -> Result<Checked, PageError> {
    let hook = form.hook(app, project).await?;
    let mut problems = Vec::new();
    match form.parse() {
        Ok(spec) => {
            let plan = match &hook {
                Some(hook) => HookPlan::Edit(hook.id, &spec),
                None => HookPlan::Add(&spec),
            };
            match app.store.hooks_would_fit(project.id, plan).await {
                Ok(()) => {}
                Err(StoreError::Refused(why)) => problems.push(said("", why, false)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(found) => {
            let found = found.0.into_iter();
            problems.extend(found.map(|(field, sentence)| said(field, sentence, false)));
        }
    }
    let mut notes = Vec::new();
    for (field, text) in form.scripts() {
        if let Ok(script) = Script::parse(text) {
            let remark = script.remark();
            notes.push(said(field, remark.sentence, remark.is_trap));
        }
    }
    if let Ok(image) = form.image().parse() {
        notes.push(of_image(app, project, &image).await?);
    }
    Ok(Checked { problems, notes })
}

fn said(field: &'static str, sentence: String, is_trap: bool) -> Said {
    Said { field, sentence, is_trap }
}

async fn of_image(app: &App, project: &Project, image: &DockerImage) -> Result<Said, PageError> {
    let (news, now) = (app.store.image_news(project.id, image.as_str()).await?, Timestamp::now());
    let age = |at| Time::new(at, now).age;
    let is_pulled_since = |failed| news.pulled_at.is_some_and(|pulled| pulled > failed);
    let (sentence, is_trap) = match (&news.last_job, news.pulled_at) {
        (Some((at, Some(why))), _) if !is_pulled_since(*at) => (
            format!("The last job that needed this image, {}, did not get it: {why}.", age(*at)),
            true,
        ),
        (Some((at, None)), _) => (format!("A job ran on this image {}.", age(*at)), false),
        (_, Some(at)) => (format!("This image was pulled {}.", age(at)), false),
        (_, None) => {
            let sentence = "No job of this project ran on this image yet; whether there is one is \
                            known when the first one needs it, as a try does.";
            (sentence.into(), false)
        }
    };
    Ok(said("image", sentence, is_trap))
}
