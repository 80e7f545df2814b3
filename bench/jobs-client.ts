import { randomInt } from 'node:crypto';
import { until } from '../test/cluster/support';

/** A client whose address no limit has seen. */
const headers = () => ({ 'X-Forwarded-For': `198.18.${randomInt(256)}.${randomInt(256)}` });

async function json(url: string, init: RequestInit = {}): Promise<{ job_id: string; status: string }> {
  const answer = await fetch(url, { ...init, headers: headers() });
  if (!answer.ok) throw new Error(`${url} was answered ${answer.status}: ${await answer.text()}`);
  return answer.json() as Promise<{ job_id: string; status: string }>;
}

/** Sends a picture to a backend. @returns The job's id. */
export async function submit(backend: string, picture: Buffer): Promise<string> {
  const form = new FormData();
  form.set('image', new Blob([new Uint8Array(picture)]), 'picture.png');
  return (await json(`${backend}/api/generate-3d`, { method: 'POST', body: form })).job_id;
}

/** @throws Error when the job fails. */
export async function completed(backend: string, job: string): Promise<void> {
  const end = await until(`the end of job ${job}`, 120, async () => {
    const { status } = await json(`${backend}/api/job-status/${job}`);
    return (status === 'completed' || status === 'failed') && status;
  });
  if (end === 'failed') throw new Error(`job ${job} failed`);
}
