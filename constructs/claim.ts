import { Size } from 'cdk8s';
import { type k8s, PersistentVolumeAccessMode, PersistentVolumeClaim } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import type { ClaimSettings } from '../config/schema';
import { kept } from './kept';
import { mebibytesQuantity } from './restricted';

export interface ClaimProps {
  /** Name of the claim. A changed name is a new, empty volume. */
  readonly name: string;
  readonly settings: ClaimSettings;
}

/** A volume that comes and goes with its pod: empty, or a copy of what another claim has at that moment. */
export const ephemeralVolume = (
  name: string,
  { storageClass, gibibytes }: ClaimSettings,
  dataSource?: k8s.TypedLocalObjectReference,
): k8s.Volume => ({
  name,
  ephemeral: {
    volumeClaimTemplate: {
      spec: {
        accessModes: ['ReadWriteOnce'],
        ...(storageClass && { storageClassName: storageClass }),
        resources: { requests: { storage: mebibytesQuantity(gibibytes * 1024) } },
        ...(dataSource && { dataSource }),
      },
    },
  },
});

/** A volume that outlives what uses it: neither Argo CD, Flux nor `orfeas deploy` removes it. */
export class Claim extends Construct {
  readonly name: string;
  readonly volume: k8s.Volume;
  readonly settings: ClaimSettings;

  constructor(scope: Construct, id: string, { name, settings }: ClaimProps) {
    super(scope, id);
    this.settings = settings;
    new PersistentVolumeClaim(this, 'claim', {
      metadata: { name, annotations: kept },
      accessModes: [PersistentVolumeAccessMode[settings.accessMode === 'ReadWriteMany' ? 'READ_WRITE_MANY' : 'READ_WRITE_ONCE']],
      storage: Size.gibibytes(settings.gibibytes),
      ...(settings.storageClass && { storageClassName: settings.storageClass }),
    });
    this.name = name;
    this.volume = { name, persistentVolumeClaim: { claimName: name } };
  }

  /** For pods that must not change anything in it, nor whom it belongs to. */
  get readOnlyVolume(): k8s.Volume {
    return { name: this.name, persistentVolumeClaim: { claimName: this.name, readOnly: true } };
  }

  /** For a pod that reads what is in it on whichever node. */
  get cloneVolume(): k8s.Volume {
    return ephemeralVolume(this.name, this.settings, { kind: 'PersistentVolumeClaim', name: this.name });
  }

  get onOneNode(): boolean {
    return this.settings.accessMode === 'ReadWriteOnce';
  }
}
