import lock from './images.lock.json';
import type { Settings } from './schema';

/** What the lock knows of an image. */
export interface Pin {
  /** Of the multi-arch index, where the image has one. */
  readonly digest: string;
  /** Who says so: the registry itself once `orfeas images lock` has asked it. */
  readonly source: string;
}

/** An image of somebody else's, pinned by tag and digest. */
export interface UpstreamImage extends Pin {
  /** With its registry. */
  readonly repository: string;
  readonly tag: string;
}

/** config/images.lock.json. Ours are named by `<registry>/<name>:<version>`: a new version has no digest until it is pushed. */
export interface ImageLock {
  readonly upstream: Readonly<Record<string, UpstreamImage>>;
  readonly own: Readonly<Record<string, Pin>>;
}

export type UpstreamName = keyof typeof lock.upstream;
export const upstreamImages: Readonly<Record<UpstreamName, UpstreamImage>> = lock.upstream;
const ownPins: ImageLock['own'] = lock.own;

export const ownImages = ['backend', 'web', 'backup'] as const;
export type OwnImage = (typeof ownImages)[number];

type ImageSettings = Settings['images'];

/** An image with what the lock knows of it: nothing where it is ours and was not locked yet. */
export interface PinnedImage extends Partial<Pin> {
  /** Where it comes from: `registry/path:tag`. */
  readonly image: string;
}

export const taggedImage = ({ registry, version }: ImageSettings, name: OwnImage): string => `${registry}/${name}:${version}`;

export function pinnedOwn(images: ImageSettings, name: OwnImage): PinnedImage {
  const image = taggedImage(images, name);
  return { image, ...ownPins[image] };
}

export function pinnedUpstream(name: UpstreamName): PinnedImage {
  const { repository, tag, digest, source } = upstreamImages[name];
  return { image: `${repository}:${tag}`, digest, source };
}

/** The image's name in another registry: its own registry is replaced, the rest stays. */
export const inRegistry = (registry: string, image: string): string => `${registry}${image.slice(image.indexOf('/'))}`;

const withDigest = (pin: ImageSettings['pin'], image: string, digest: string | undefined): string =>
  pin === 'digest' && digest ? `${image}@${digest}` : image;

/** As pods name it. */
export const reference = ({ pin, mirror }: ImageSettings, { image, digest }: PinnedImage): string =>
  withDigest(pin, mirror ? inRegistry(mirror, image) : image, digest);

export const ownImage = (images: ImageSettings, name: OwnImage): string => reference(images, pinnedOwn(images, name));
export const upstreamImage = (images: ImageSettings, name: UpstreamName): string => reference(images, pinnedUpstream(name));

/** How one of our images is built. Paths are relative to the repository. */
export interface ImageBuild {
  readonly image: string;
  readonly dockerfile: string;
  readonly context: string;
  readonly buildArgs: Readonly<Record<string, string>>;
}

/** Build arguments of the Dockerfile that name an image of others. The backend needs CUDA only where it computes on a GPU. */
export function baseImages({ gpu }: Settings, name: OwnImage): Readonly<Record<string, UpstreamName>> {
  switch (name) {
    case 'backend':
      return { BASE_IMAGE: gpu.device === 'cpu' ? 'debian' : 'cuda' };
    case 'backup':
      return { BASE_IMAGE: 'debian', RESTIC_IMAGE: 'restic' };
    case 'web':
      return { BASE_IMAGE: 'debian' };
  }
}

export function imageBuild(settings: Settings, name: OwnImage): ImageBuild {
  const { images, gpu } = settings;
  const bases = Object.entries(baseImages(settings, name)).map(([argument, base]) => {
    const { image, digest } = pinnedUpstream(base);
    return [argument, withDigest(images.pin, image, digest)];
  });
  return {
    image: taggedImage(images, name),
    dockerfile: `images/${name}/Dockerfile`,
    context: `images/${name}`,
    buildArgs: { ...Object.fromEntries(bases), ...(name === 'backend' && { REQUIREMENTS: gpu.device }) },
  };
}
