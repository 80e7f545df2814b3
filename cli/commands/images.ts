import { environmentNames, loadSettings } from '../../config';
import {
  inRegistry,
  type OwnImage,
  ownImages,
  type Pin,
  type PinnedImage,
  pinnedOwn,
  pinnedUpstream,
  taggedImage,
  type UpstreamImage,
  type UpstreamName,
} from '../../config/images';
import { CommandError } from '../errors';
import { readLock, writeLock } from '../image-lock';
import { buildImages, imageTools } from '../images';
import { inventory, type ListedImage } from '../inventory';
import { type CommonOptions, type Outcome, table } from '../outcome';
import { RegistryClient } from '../registry';
import { runSteps } from '../steps';

export interface ImagesResult {
  readonly images: readonly ListedImage[];
}

const orDash = (text: string | undefined): string => text ?? '-';

/** Lists every image of an environment. Nothing is asked outside of this machine. */
export async function listImages(options: CommonOptions): Promise<Outcome<ImagesResult>> {
  const images = inventory(loadSettings(options.env));
  const rows = images.flatMap(({ image, reference, digest, source, usedBy }) => [
    [image, orDash(digest), orDash(source), usedBy[0] as string],
    ...usedBy.slice(1).map(user => ['', '', '', user]),
    ...(reference && !reference.startsWith(image) ? [[`  from ${reference.replace(/@.*/, '')}`, '', '', '']] : []),
  ]);
  return { ok: true, result: { images }, text: table([['IMAGE', 'DIGEST', 'SOURCE', 'USED BY'], ...rows]) };
}

export interface BuildOptions extends CommonOptions {
  readonly rebuild?: boolean;
}

/** Builds our images, as `orfeas deploy` does, without a cluster. */
export async function build({ env, json, rebuild = false }: BuildOptions, signal: AbortSignal): Promise<Outcome<ImagesResult>> {
  const settings = loadSettings(env);
  const tools = await imageTools();
  const step = {
    name: 'build',
    title: `Build by ${tools.builder}`,
    run: (onLine: (line: string) => void) => buildImages(settings, tools, { rebuild, signal, onLine }),
  };
  await runSteps([step], { json, signal });
  const images = inventory(settings).filter(({ image }) => ownImages.some(name => image === taggedImage(settings.images, name)));
  return { ok: true, result: { images }, text: images.map(({ image }) => image).join('\n') };
}

/** What a registry says of an image, against the lock. */
export interface CheckedImage {
  /** As it was asked for: in the mirror, where there is one. */
  readonly image: string;
  /**
   * `same`: the tag has the digest of the lock; `moved`: it has another one by now, and the lock's is still there; `gone`: the registry
   * has not the lock's digest; `unlocked`: the lock has no digest; `incomplete`: a platform is missing; `unknown`: no answer.
   */
  readonly status: 'same' | 'moved' | 'gone' | 'unlocked' | 'incomplete' | 'unknown';
  readonly detail: string;
}

export interface CheckResult {
  readonly images: readonly CheckedImage[];
}

interface CheckProps {
  readonly client: RegistryClient;
  readonly platforms: readonly string[];
}

async function check({ image, digest }: PinnedImage, { client, platforms }: CheckProps): Promise<CheckedImage> {
  const present = await client.digestOf(image);
  if (digest === undefined) return { image, status: 'unlocked', detail: `its tag has ${present ?? 'no image'}` };
  const there = await client.platformsOf(image, digest);
  if (there === undefined) return { image, status: 'gone', detail: `its tag has ${present ?? 'no image'}` };
  const missing = platforms.filter(wanted => !there.some(platform => platform === wanted || platform.startsWith(`${wanted}/`)));
  if (missing.length > 0) return { image, status: 'incomplete', detail: `lacks ${missing.join(', ')}; has ${there.join(', ')}` };
  if (present !== digest) return { image, status: 'moved', detail: `its tag has ${present ?? 'no image'} now` };
  return { image, status: 'same', detail: there.filter(platform => !platform.startsWith('unknown')).join(', ') };
}

/** Asks the registries that nodes pull from whether they have what the lock says. */
export async function checkImages(options: CommonOptions, signal: AbortSignal): Promise<Outcome<CheckResult>> {
  const settings = loadSettings(options.env);
  const { mirror, platforms } = settings.images;
  const wanted = inventory(settings)
    // What images are built from is not in the mirror.
    .filter(({ reference }) => mirror === undefined || reference)
    .map(({ image, ...pin }) => ({ image: mirror ? inRegistry(mirror, image) : image, ...pin }));
  const client = new RegistryClient(signal);
  let images: CheckedImage[] = [];
  const step = {
    name: 'check',
    title: 'Ask the registries',
    run: async (progress: (text: string) => void) => {
      let answered = 0;
      images = await Promise.all(
        wanted.map(async pinned => {
          const checked = await check(pinned, { client, platforms }).catch((error): CheckedImage => {
            if (!(error instanceof CommandError)) throw error;
            return { image: pinned.image, status: 'unknown', detail: error.message };
          });
          answered += 1;
          progress(`${answered} of ${wanted.length}`);
          return checked;
        }),
      );
      return `${images.filter(({ status }) => status === 'same').length} of ${images.length} are as the lock says`;
    },
  };
  await runSteps([step], { json: options.json, signal });
  const text = table([['IMAGE', 'STATUS', 'DETAIL'], ...images.map(({ image, status, detail }) => [image, status, detail])]);
  return { ok: images.every(({ status }) => status === 'same'), result: { images }, text };
}

export interface LockOptions extends CommonOptions {
  /** Of others' images, or of ours; all of ours when there is none. */
  readonly names: readonly (OwnImage | UpstreamName)[];
}

export interface LockResult {
  readonly locked: readonly (PinnedImage & { readonly changed: boolean })[];
}

const isOwn = (name: string): name is OwnImage => ownImages.some(own => own === name);

/** Writes the digests that registries have for tags into the lock: of all that are asked for, or none. */
export async function lockImages(options: LockOptions, signal: AbortSignal): Promise<Outcome<LockResult>> {
  const { env, json } = options;
  const { images } = loadSettings(env);
  const names = options.names.length > 0 ? options.names : ownImages;
  const client = new RegistryClient(signal);
  const locked: (PinnedImage & { changed: boolean })[] = [];
  const step = {
    name: 'lock',
    title: 'Ask the registries',
    run: async (progress: (text: string) => void) => {
      const lock = await readLock();
      const upstream: Record<string, UpstreamImage> = { ...lock.upstream };
      const own: Record<string, Pin> = { ...lock.own };
      for (const name of names) {
        const { image, digest: before } = isOwn(name) ? pinnedOwn(images, name) : pinnedUpstream(name);
        progress(image);
        const digest = await client.digestOf(image);
        if (digest === undefined)
          throw new CommandError(
            `There is no ${image}; the lock is as it was`,
            isOwn(name) ? 'build and push it first (docs/images.md)' : `mend its tag in config/images.lock.json`,
          );
        const pin = { digest, source: image.slice(0, image.indexOf('/')) };
        if (isOwn(name)) own[image] = pin;
        else upstream[name] = { ...(upstream[name] as UpstreamImage), ...pin };
        locked.push({ image, ...pin, changed: digest !== before });
      }
      signal.throwIfAborted();
      // Versions that no environment names any more.
      const named = environmentNames.flatMap(name => ownImages.map(image => taggedImage(loadSettings(name).images, image)));
      await writeLock({ upstream, own: Object.fromEntries(Object.entries(own).filter(([image]) => named.includes(image))) });
      return `${locked.filter(({ changed }) => changed).length} of ${locked.length} changed`;
    },
  };
  await runSteps([step], { json, signal });
  const rows = locked.map(({ image, digest, changed }) => [image, orDash(digest), changed ? 'changed' : 'same']);
  return {
    ok: true,
    result: { locked },
    text: `${table([['IMAGE', 'DIGEST', ''], ...rows])}\nnpm start writes them to dist/`,
  };
}
