import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { io, type Socket } from 'socket.io-client';
import { CommandError } from './errors';
import type { Answer, Studio } from './http';
import type { MeshFormat } from './mesh';

const CONNECT_MILLISECONDS = 10_000;
/** The API takes ten requests a minute from one address. */
const POLL_MILLISECONDS = 7_000;

export interface Job {
  readonly status: 'queued' | 'processing' | 'completed' | 'failed';
  /** 0 to 1. */
  readonly progress: number;
  readonly outputs?: readonly { readonly url: string; readonly bytes: number }[];
  readonly error?: string | { readonly message?: string };
}

/** How the progress of a job reached us. */
export type Channel = 'socket.io' | 'polling';

const hasEnded = ({ status }: Job): boolean => status === 'completed' || status === 'failed';

/** @throws CommandError unless the answer has the status. */
function expectStatus(answer: Answer, status: number, what: string): Answer {
  if (answer.status === status) return answer;
  const text = answer.body.toString().slice(0, 500);
  let message = text;
  try {
    const { error } = JSON.parse(text) as { error?: { code: string; message: string } };
    if (error) message = `${error.code}: ${error.message}`;
  } catch {}
  const retry = answer.headers['retry-after'];
  const remedies: Readonly<Record<number, string>> = {
    413: 'send a smaller picture: uploads.maxMebibytes is the limit',
    429: `this address has used up its requests (rateLimiting in config/): try again in ${retry ? `${retry} s` : 'a minute'}`,
    502: 'the backend does not answer: orfeas status says why',
    503: 'the backend is not ready: orfeas status says why',
    504: 'the backend does not answer in time: orfeas status says why',
  };
  throw new CommandError(`${what} was answered ${answer.status} instead of ${status}: ${message}`, remedies[answer.status]);
}

/** Sends a picture and returns the id of its job. */
export async function submit(studio: Studio, picture: Buffer, name: string, format: MeshFormat): Promise<string> {
  const form = new FormData();
  form.set('image', new Blob([new Uint8Array(picture)]), basename(name));
  form.set('format', format);
  const encoded = new Response(form);
  const answer = await studio.request('POST', '/api/generate-3d', {
    headers: { 'content-type': encoded.headers.get('content-type') ?? '', origin: studio.url },
    body: Buffer.from(await encoded.arrayBuffer()),
  });
  return (JSON.parse(expectStatus(answer, 202, 'The picture').body.toString()) as { job_id: string }).job_id;
}

export async function jobStatus(studio: Studio, id: string): Promise<Job> {
  const answer = await studio.request('GET', `/api/job-status/${id}`);
  return JSON.parse(expectStatus(answer, 200, 'The question for the job').body.toString()) as Job;
}

export interface FollowProps {
  readonly signal: AbortSignal;
  readonly onProgress: (job: Job, channel: Channel) => void;
}

/** Waits for the end of the job over Socket.IO. `undefined` when the connection fails. */
async function listen(studio: Studio, id: string, { signal, onProgress }: FollowProps): Promise<Job | undefined> {
  const socket: Socket = io(studio.url, {
    agent: studio.agent as unknown as string,
    reconnection: false,
    timeout: CONNECT_MILLISECONDS,
    transports: ['websocket', 'polling'],
    tryAllTransports: true,
  });
  try {
    return await new Promise<Job | undefined>((resolve, reject) => {
      const take = (job: Job): void => {
        onProgress(job, 'socket.io');
        if (hasEnded(job)) resolve(job);
      };
      for (const event of ['job_progress', 'job_completed', 'job_failed']) {
        socket.on(event, (job: Job & { job_id: string }) => {
          if (job.job_id === id) take(job);
        });
      }
      socket.on('connect_error', () => resolve(undefined));
      socket.on('disconnect', () => resolve(undefined));
      socket.on('connect', () =>
        // The answer is the job's state, as it may have ended before we listened.
        socket.timeout(CONNECT_MILLISECONDS).emit('subscribe', { job_id: id }, (refused: Error | null, state?: Job) => {
          if (refused || state?.status === undefined) resolve(undefined);
          else take(state);
        }),
      );
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
  } finally {
    socket.close();
  }
}

/** Waits for the end of the job: over Socket.IO, or by asking again and again where that does not get through. */
export async function follow(studio: Studio, id: string, props: FollowProps): Promise<{ job: Job; channel: Channel }> {
  const heard = await listen(studio, id, props);
  if (heard) return { job: heard, channel: 'socket.io' };
  for (;;) {
    await sleep(POLL_MILLISECONDS, undefined, { signal: props.signal });
    const job = await jobStatus(studio, id);
    props.onProgress(job, 'polling');
    if (hasEnded(job)) return { job, channel: 'polling' };
  }
}

/** @throws CommandError when the job failed, or its file is not as announced. */
export async function download(studio: Studio, { status, outputs = [], error }: Job): Promise<Buffer> {
  const [output] = outputs;
  if (status === 'failed' || output === undefined) {
    const message = typeof error === 'string' ? error : error?.message;
    throw new CommandError(`The job ${status === 'failed' ? 'failed' : 'has no file'}: ${message ?? '(no reason given)'}`);
  }
  const { pathname } = new URL(output.url, studio.url);
  const { body } = expectStatus(await studio.request('GET', pathname), 200, 'The download');
  if (body.length !== output.bytes) throw new CommandError(`The file has ${body.length} bytes, its job announced ${output.bytes}`);
  return body;
}
