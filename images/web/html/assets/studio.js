// The server enforces the limits and names them in its errors, so none is repeated here.

/** Between two questions for a job's state while no event can come; the API takes ten requests a minute. */
const POLL_MILLISECONDS = 15_000;
/** Silence after which an event may have been lost. */
const QUIET_MILLISECONDS = 60_000;
const STATUS = {
  queued: 'Waiting in the queue',
  processing: 'Making the model',
  completed: 'The model is ready',
  failed: 'The model could not be made',
};

const { io } = window;
const element = id => document.getElementById(id);
const form = element('form');
const picture = element('picture');
const button = form.querySelector('button');
const drop = element('drop');
const preview = element('preview');
const job = element('job');
const progress = element('progress');
const megabytes = new Intl.NumberFormat('en', { style: 'unit', unit: 'megabyte', maximumFractionDigits: 1 });

function showError(message) {
  element('error').textContent = message;
  element('error').hidden = !message;
}

/** An answer's JSON. Fails with an Error whose message is for people to read, and which has the answer's status. */
async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error('The studio cannot be reached. Check your connection, then try again.');
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  const { status } = response;
  const reason = body.error?.message ?? (status === 429 ? 'Too many requests.' : `The studio answered with status ${status}.`);
  const seconds = Number(response.headers.get('Retry-After')) || (status === 429 ? 60 : 0);
  throw Object.assign(new Error(seconds ? `${reason} Try again in ${seconds} s.` : reason), { status });
}

function showStatus(text) {
  // A screen reader reads each change aloud.
  if (element('status').textContent !== text) element('status').textContent = text;
}

function download({ url, bytes }) {
  const link = document.createElement('a');
  link.href = url;
  link.download = '';
  link.textContent = `Download ${url.split('.').pop().toUpperCase()} (${megabytes.format(bytes / 1e6)})`;
  const item = document.createElement('li');
  item.append(link);
  return item;
}

/** Shows a job until it ends: by events, and by asking while there are none. */
function follow(id) {
  const socket = io({ transports: ['websocket', 'polling'], tryAllTransports: true });
  let subscribed = false;
  let heard = Date.now();
  const timer = setInterval(() => {
    if (!subscribed || Date.now() - heard > QUIET_MILLISECONDS) ask();
  }, POLL_MILLISECONDS);

  function end() {
    clearInterval(timer);
    socket.disconnect();
    progress.hidden = true;
    button.disabled = false;
  }

  function show({ status, progress: share, outputs, error }) {
    heard = Date.now();
    showError('');
    showStatus(STATUS[status] ?? status);
    if (status === 'processing') progress.value = share;
    if (status === 'completed') element('outputs').replaceChildren(...outputs.map(download));
    if (status === 'failed') showError(error?.message ?? 'The studio gave no reason.');
    if (status === 'completed' || status === 'failed') end();
  }

  async function ask() {
    try {
      show(await call(`/api/job-status/${encodeURIComponent(id)}`));
    } catch (error) {
      if (error.status === 429) return;
      showError(error.message);
      if (error.status !== 404) return;
      job.hidden = true;
      end();
    }
  }

  socket.on('connect', async () => {
    const state = await socket
      .timeout(POLL_MILLISECONDS)
      .emitWithAck('subscribe', { job_id: id })
      .catch(() => ({}));
    subscribed = Boolean(state.status);
    if (subscribed) show(state);
    else ask();
  });
  socket.on('disconnect', () => {
    subscribed = false;
  });
  socket.once('connect_error', ask);
  for (const event of ['job_progress', 'job_completed', 'job_failed']) {
    socket.on(event, state => state.job_id === id && show(state));
  }
}

function start(id) {
  // The address names the job, so that a reload finds it again.
  history.replaceState(null, '', `#${id}`);
  button.disabled = true;
  showStatus(STATUS.queued);
  progress.removeAttribute('value');
  progress.hidden = false;
  element('outputs').replaceChildren();
  job.hidden = false;
  element('job-title').focus();
  follow(id);
}

picture.addEventListener('change', () => {
  showError('');
  URL.revokeObjectURL(preview.src);
  let [file] = picture.files;
  if (file && !picture.accept.split(',').includes(file.type)) {
    showError(`${file.name} is not a PNG, JPEG or WebP picture.`);
    picture.value = '';
    file = undefined;
  } else if (file?.size === 0) {
    showError(`${file.name} is empty.`);
    picture.value = '';
    file = undefined;
  }
  preview.hidden = !file;
  if (file) preview.src = URL.createObjectURL(file);
  element('picture-name').textContent = file ? file.name : 'Choose a picture, or drop one here';
});

for (const event of ['dragenter', 'dragover']) drop.addEventListener(event, () => drop.classList.add('over'));
for (const event of ['dragleave', 'drop']) drop.addEventListener(event, () => drop.classList.remove('over'));

form.addEventListener('submit', async event => {
  event.preventDefault();
  showError('');
  button.disabled = true;
  button.textContent = 'Sending the picture …';
  try {
    const { job_id: id } = await call('/api/generate-3d', { method: 'POST', body: new FormData(form) });
    start(id);
  } catch (error) {
    showError(error.message);
    button.disabled = false;
  } finally {
    button.textContent = 'Make the model';
  }
});

if (location.hash) start(decodeURIComponent(location.hash.slice(1)));
