//! A request's way through the layer.

use std::{
    fmt::{self, Debug},
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, header::RETRY_AFTER, response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    Failure, LazySession, SessionError,
    client::guarded,
    layer::Config,
    lease::{Finished, Lease},
    renewals::Renewals,
    request::Arriving,
};

/// A service whose requests have sessions: see [`SessionLayer`](crate::SessionLayer).
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> SessionService<S> {
    pub(crate) const fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }
}

impl<S, A, B> Service<Request<A>> for SessionService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let arriving = Arriving::of(&request, &self.config);
        let outer = LazySession::of(request.extensions()).map(|session| session.lease);
        let lease = Arc::new(Lease::new(Arc::clone(&self.config), arriving, outer));
        request
            .extensions_mut()
            .insert(LazySession::new(Arc::clone(&lease)));
        ResponseFuture {
            inner: self.inner.call(request),
            renewals: Renewals::default(),
            answer: None,
            request: RunningRequest(lease),
        }
    }
}

pin_project! {
    /// The response of a [`SessionService`].
    ///
    /// While the handler runs it keeps the session's lock alive; when the handler is done it saves
    /// the session, before anybody sees the headers. Dropping it gives the lock away at once.
    pub struct ResponseFuture<F, B> {
        // Dropped first: a session that the handler was using goes back to its lease.
        #[pin]
        inner: F,
        renewals: Renewals,
        // Of a request that asked for its session. Apart, so that the others move less.
        answer: Option<Box<Answer<B>>>,
        request: RunningRequest,
    }
}

/// The handler's response, while its session is saved.
struct Answer<B> {
    response: Response<B>,
    saving: BoxFuture<'static, Finished>,
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let lease = &this.request.0;
        if this.answer.is_none() {
            this.renewals.pause(lease);
            let Poll::Ready(response) = this.inner.poll(context) else {
                this.renewals.go_on(lease, context);
                return Poll::Pending;
            };
            // A service that failed has no headers to wait for: the request ends here.
            let response = response?;
            if lease.is_answered_untouched() {
                return Poll::Ready(Ok(response.map(|body| ResponseBody::handlers(body, lease))));
            }
            *this.answer = Some(Box::new(Answer::to(response, lease)));
        }
        let Some(answer) = this.answer else {
            return Poll::Pending;
        };
        let Poll::Ready(finished) = answer.saving.as_mut().poll(context) else {
            this.renewals.renew(context);
            return Poll::Pending;
        };
        let response = this.answer.take().map(|answer| answer.response);
        match response {
            Some(response) => Poll::Ready(Ok(respond(lease, response, finished))),
            None => Poll::Pending,
        }
    }
}

impl<B> Answer<B> {
    fn to(response: Response<B>, lease: &Arc<Lease>) -> Self {
        let failed = response.extensions().get::<Arc<SessionError>>().is_some();
        let keep = !failed && lease.config.saves(response.status());
        let lease = Arc::clone(lease);
        Self {
            response,
            saving: Box::pin(async move { lease.finish(keep).await }),
        }
    }
}

/// The response that its client gets: the handler's, or that of an error.
fn respond<B>(
    lease: &Arc<Lease>,
    response: Response<B>,
    mut finished: Finished,
) -> Response<ResponseBody<B>> {
    let config = &lease.config;
    let (head, body) = response.into_parts();
    let mut response = if let Some(error) = finished.error.take() {
        failed(config, Arc::new(error), &head).map(ResponseBody::own)
    } else if let Some(error) = head.extensions.get::<Arc<SessionError>>().cloned() {
        answered_with_error(lease, error, head, body)
    } else {
        Response::from_parts(head, ResponseBody::handlers(body, lease))
    };
    finished.write(lease, response.headers_mut());
    response
}

/// What is sent instead of the handler's response.
fn failed(config: &Config, error: Arc<SessionError>, head: &response::Parts) -> Response<Bytes> {
    let failure = Failure::new(&error, head, config.retry_after);
    let asked = config.on_error.as_ref();
    let answer = asked.and_then(|answer| guarded(|| answer(failure)));
    let mut response = answer.unwrap_or_else(|| failure.default_response());
    response.extensions_mut().insert(error);
    response
}

/// The handler's own answer is an error of a session, or that of an extractor is.
fn answered_with_error<B>(
    lease: &Arc<Lease>,
    error: Arc<SessionError>,
    mut head: response::Parts,
    body: B,
) -> Response<ResponseBody<B>> {
    let config = &lease.config;
    if config.on_error.is_some() {
        return failed(config, error, &head).map(ResponseBody::own);
    }
    if let Some(when) = head.headers.get_mut(RETRY_AFTER) {
        let default = error.response(config.retry_after);
        if let Some(ours) = default.headers().get(RETRY_AFTER) {
            when.clone_from(ours);
        }
    }
    Response::from_parts(head, ResponseBody::handlers(body, lease))
}

/// A request that is under way. Dropping it before it was answered ends its session.
struct RunningRequest(Arc<Lease>);

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl<F, B> Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("session", &self.request.0)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of a response: the handler's, or the line that says why there is none.
    ///
    /// While it is sent it keeps a lock alive that is taken after the headers. A client that reads so
    /// slowly that nothing is sent for the time of a hold gets to see a body whose lock was lost.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        content: Content<B>,
    }
}

pin_project! {
    #[project = ContentProjection]
    #[derive(Debug)]
    enum Content<B> {
        Handlers {
            #[pin]
            body: B,
            // None of a body that is made from nothing.
            lease: Option<Arc<Lease>>,
            renewals: Renewals,
        },
        Own { bytes: Option<Bytes> },
    }
}

impl<B> ResponseBody<B> {
    fn handlers(body: B, lease: &Arc<Lease>) -> Self {
        Self::sent_by(body, Some(Arc::clone(lease)))
    }

    const fn own(bytes: Bytes) -> Self {
        let bytes = Some(bytes);
        let content = Content::Own { bytes };
        Self { content }
    }

    fn sent_by(body: B, lease: Option<Arc<Lease>>) -> Self {
        let renewals = Renewals::default();
        let content = Content::Handlers {
            body,
            lease,
            renewals,
        };
        Self { content }
    }
}

impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::sent_by(B::default(), None)
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().content.project() {
            ContentProjection::Handlers {
                body,
                lease: Some(lease),
                renewals,
            } => {
                renewals.pause(lease);
                let frame = body.poll_frame(context);
                if frame.is_pending() {
                    renewals.go_on(lease, context);
                }
                frame
            }
            ContentProjection::Handlers { body, .. } => body.poll_frame(context),
            ContentProjection::Own { bytes } => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Handlers { body, .. } => body.is_end_stream(),
            Content::Own { bytes } => bytes.as_ref().is_none_or(Bytes::is_empty),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Handlers { body, .. } => body.size_hint(),
            Content::Own { bytes } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
        }
    }
}
