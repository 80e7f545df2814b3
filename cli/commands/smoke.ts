import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadSettings } from '../../config';
import { ROOT } from '../../root';
import { Cluster } from '../cluster';
import { CommandError } from '../errors';
import { Studio } from '../http';
import { type Channel, download, follow, type Job, submit } from '../jobs';
import { checkMesh, type MeshFacts, type MeshFormat } from '../mesh';
import type { CommonOptions, Outcome } from '../outcome';
import { runSteps } from '../steps';
import { trustedCertificates } from '../tls';

const SAMPLE = join(ROOT, 'cli/sample.png');

export interface SmokeOptions extends CommonOptions {
  readonly image?: string;
  readonly format: MeshFormat;
  readonly address?: string;
}

export interface SmokeResult extends MeshFacts {
  readonly environment: string;
  readonly url: string;
  readonly job: string;
  readonly format: MeshFormat;
  /** How progress arrived. */
  readonly channel: Channel;
  readonly bytes: number;
  readonly seconds: number;
}

/** Sends a picture through the Ingress, as a user's browser would, and checks the mesh that comes back. */
export async function smoke(options: SmokeOptions, signal: AbortSignal): Promise<Outcome<SmokeResult>> {
  const { image = SAMPLE, format, address, json } = options;
  // Not an option: everybody on the machine may read those of a process.
  const apiKey = process.env.ORFEAS_API_KEY;
  const start = Date.now();
  const settings = loadSettings(options.env);
  const picture = await readFile(image).catch(error => {
    throw new CommandError(`--image ${image} cannot be read: ${error.code}`, 'give the path of a PNG, JPEG or WebP file', { cause: error });
  });
  const trusted = await trustedCertificates(Cluster.connect(options.context), settings);
  const studio = new Studio({
    host: settings.host,
    ...trusted,
    ...(address !== undefined && { address }),
    ...(apiKey !== undefined && { apiKey }),
  });
  let id = '';
  let ended: { job: Job; channel: Channel } | undefined;
  let file: Buffer = Buffer.alloc(0);
  let mesh: MeshFacts | undefined;
  const steps = [
    {
      name: 'submit',
      title: 'Send the picture',
      run: async () => {
        id = await submit(studio, picture, image, format);
        return `job ${id}`;
      },
    },
    {
      name: 'follow',
      title: 'Follow the job',
      run: async (progress: (text: string) => void) => {
        ended = await follow(studio, id, {
          signal,
          onProgress: (job, channel) => progress(`${job.status}, ${Math.round(job.progress * 100)} % (${channel})`),
        });
        return `${ended.job.status}, heard by ${ended.channel}`;
      },
    },
    {
      name: 'check',
      title: 'Check the mesh',
      run: async () => {
        file = await download(studio, (ended as { job: Job }).job);
        mesh = checkMesh(file, format);
        return `${mesh.triangles} triangles${mesh.volume === undefined ? '' : `, closed, volume ${mesh.volume.toPrecision(4)}`}`;
      },
    },
  ];
  await runSteps(steps, { json, signal }).finally(() => studio.close());
  const facts = mesh as MeshFacts;
  const seconds = Math.round((Date.now() - start) / 100) / 10;
  const { channel } = ended as { channel: Channel };
  return {
    ok: true,
    result: { environment: settings.environment, url: studio.url, job: id, format, channel, ...facts, bytes: file.length, seconds },
    text: `${studio.url} made a mesh of ${facts.triangles} triangles (${file.length} bytes of ${format}) in ${seconds} s`,
  };
}
