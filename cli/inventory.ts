import { buildApp } from '../app';
import type { Settings } from '../config';
import {
  baseImages,
  ownImages,
  type PinnedImage,
  pinnedOwn,
  pinnedUpstream,
  reference,
  type UpstreamName,
  upstreamImages,
} from '../config/images';
import { imageUsers, render } from '../synth';

export interface ListedImage extends PinnedImage {
  /** As pods name it; nothing where no pod runs it, but one of ours is built from it. */
  readonly reference?: string;
  /** Such as `Deployment/web`, or `images/web` that is built from it. */
  readonly usedBy: readonly string[];
}

/** Every image of an environment, those that pods run first. */
export function inventory(settings: Settings): ListedImage[] {
  const { images } = settings;
  const users = imageUsers([...render(buildApp(settings)).values()].flat());
  const upstream = Object.keys(upstreamImages) as UpstreamName[];
  const known = [...ownImages.map(name => pinnedOwn(images, name)), ...upstream.map(pinnedUpstream)];
  const listed = known.map((pinned): ListedImage => {
    const named = reference(images, pinned);
    const pods = users.get(named);
    const builds = ownImages.filter(own =>
      Object.values(baseImages(settings, own)).some(base => pinnedUpstream(base).image === pinned.image),
    );
    return { ...pinned, ...(pods && { reference: named }), usedBy: [...(pods ?? []), ...builds.map(own => `images/${own}`)] };
  });
  return listed.filter(({ usedBy }) => usedBy.length > 0).sort((a, b) => Number(!a.reference) - Number(!b.reference));
}
