import { RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import * as units from '@grafana/grafana-foundation-sdk/units';
import { backupMaxAgeSeconds } from '../config/derive';
import type { Settings } from '../config/schema';
import { always, below, now, query, runbooks, stat, studio, timeSeries, unlimited } from './panels';
import { studioDashboard } from './studio-dashboard';

const DAY_SECONDS = 86_400;
const NONE = 'none yet';

const latest = (field: string) => `max(orfeas_backup_${field}{${studio}})`;

/** The backups, as their jobs report them. */
export function backup(settings: Settings) {
  const fresh = below(backupMaxAgeSeconds(settings), 2 * backupMaxAgeSeconds(settings));
  return studioDashboard('backup', 'Is there a backup, is it fresh, and was it verified?')
    .withRow(new RowBuilder('Now'))
    .withPanel(
      stat('Last backup', 'Age of the last one that succeeded.', units.Seconds, fresh)
        .span(6)
        .noValue(NONE)
        .links(runbooks(settings, 'OrfeasBackupMissing'))
        .withTarget(now(`time() - ${latest('last_success_timestamp_seconds')}`)),
    )
    .withPanel(
      stat('Last attempt', 'Whether it succeeded.', units.BoolYesNo, always)
        .span(6)
        .noValue(NONE)
        .links(runbooks(settings, 'OrfeasBackupFailed'))
        .withTarget(now(latest('last_attempt_succeeded'))),
    )
    .withPanel(
      stat('Last verification', 'Age of the last one.', units.Seconds, below(8 * DAY_SECONDS, 15 * DAY_SECONDS))
        .span(6)
        .noValue(NONE)
        .links(runbooks(settings, 'OrfeasBackupFailed'))
        .withTarget(now(`time() - ${latest('last_verification_timestamp_seconds')}`)),
    )
    .withPanel(
      stat('Verified', 'Whether the last verification found the backup whole.', units.BoolYesNo, always)
        .span(6)
        .noValue(NONE)
        .links(runbooks(settings, 'OrfeasBackupFailed'))
        .withTarget(now(latest('last_verification_succeeded'))),
    )
    .withRow(new RowBuilder('Over time'))
    .withPanel(
      timeSeries('Age', 'Time since the last attempt, and since the last success.', units.Seconds, fresh)
        .noValue(NONE)
        .links(runbooks(settings, 'OrfeasBackupMissing', 'OrfeasBackupFailed'))
        .withTarget(query(`time() - ${latest('last_attempt_timestamp_seconds')}`, 'attempt'))
        .withTarget(query(`time() - ${latest('last_success_timestamp_seconds')}`, 'success')),
    )
    .withPanel(
      timeSeries('Size', 'Of the data in the last backup.', units.BytesIEC, unlimited)
        .noValue(NONE)
        .withTarget(query(latest('last_success_size_bytes'), 'size')),
    )
    .withPanel(
      timeSeries('Duration', 'Of the last backup that succeeded.', units.Seconds, unlimited)
        .noValue(NONE)
        .withTarget(query(latest('last_success_duration_seconds'), 'duration')),
    )
    .withPanel(
      timeSeries('Outcome', '1 where the last attempt, or verification, succeeded.', units.BoolYesNo, unlimited)
        .max(1)
        .noValue(NONE)
        .links(runbooks(settings, 'OrfeasBackupFailed'))
        .withTarget(query(latest('last_attempt_succeeded'), 'attempt'))
        .withTarget(query(latest('last_verification_succeeded'), 'verification')),
    )
    .withPanel(
      timeSeries('Progress', 'Share of the running backup that is done.', units.PercentUnit, unlimited)
        .max(1)
        .noValue('none runs')
        .withTarget(query(latest('progress_ratio'), 'progress')),
    );
}
