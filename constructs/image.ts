import { type OwnImage, type UpstreamImage, upstreamImages } from '../config/images';
import type { Settings } from '../config/schema';

type ImageSettings = Settings['images'];

export const ownImage = ({ registry, version }: ImageSettings, name: OwnImage): string => `${registry}/${name}:${version}`;

export function upstreamImage({ pin }: ImageSettings, name: keyof typeof upstreamImages): string {
  const { repository, tag, digest }: UpstreamImage = upstreamImages[name];
  return pin === 'digest' ? `${repository}:${tag}@${digest}` : `${repository}:${tag}`;
}
