import { RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import * as units from '@grafana/grafana-foundation-sdk/units';
import type { Settings } from '../config/schema';
import {
  above,
  always,
  below,
  NO_GPU,
  never,
  now,
  query,
  rows,
  runbooks,
  runbookUrl,
  stat,
  studio,
  table,
  timeSeries,
  unlimited,
} from './panels';
import { studioDashboard } from './studio-dashboard';

const BURN_ALERTS = ['OrfeasAvailabilityBurn', 'OrfeasJobSuccessBurn', 'OrfeasJobLatencyBurn', 'OrfeasQueueWaitBurn'];
/** Columns that say nothing to a reader: the same in every row, or Prometheus' own. */
const HIDDEN = ['Time', 'Value', '__name__', 'alertstate', 'namespace', 'instance', 'endpoint', 'container', 'job'];

/** The studio at a glance: does it keep its promises, and what does it do? */
export const overview = (settings: Settings) =>
  studioDashboard('overview', 'Does the studio keep its promises, and what does it do?')
    .withRow(new RowBuilder('Service level'))
    .withPanel(
      stat(
        'Error budget left',
        'Of the errors that the objectives allow in 30 days. Below 0 the objective is missed.',
        units.PercentUnit,
        above(0, 0.25),
      )
        .span(16)
        .links(runbooks(settings, ...BURN_ALERTS))
        .withTarget(now(`orfeas:slo_budget_remaining:ratio{${studio}}`, '{{slo}}')),
    )
    .withPanel(
      stat('Targets down', 'Ports that Prometheus asks for metrics and that do not answer.', units.Short, never)
        .links(runbooks(settings, 'OrfeasTargetDown'))
        .withTarget(now(`count(up{${studio}} == 0) or vector(0)`)),
    )
    .withPanel(
      stat('Model loaded', 'In the pods of the backend.', units.BoolYesNo, always)
        .links(runbooks(settings, 'OrfeasModelNotReady'))
        .withTarget(now(`min(orfeas_model_ready{${studio}})`)),
    )
    .withPanel(
      timeSeries('Error budget left', 'Of 30 days. It grows again when the errors are older than that.', units.PercentUnit, above(0, 0.25))
        .links(runbooks(settings, ...BURN_ALERTS))
        .withTarget(query(`orfeas:slo_budget_remaining:ratio{${studio}}`, '{{slo}}')),
    )
    .withPanel(
      timeSeries(
        'Burn rate',
        'Errors of the last hour against those that the objective allows. At 1 the budget lasts 30 days, at 14.4 it lasts 2.',
        units.Short,
        below(1, 14.4),
      )
        .links(runbooks(settings, ...BURN_ALERTS))
        .withTarget(
          query(`orfeas:slo_error:ratio_rate1h{${studio}} / on (namespace, slo) (1 - orfeas:slo_objective:ratio{${studio}})`, '{{slo}}'),
        ),
    )
    .withRow(new RowBuilder('Alerts'))
    .withPanel(
      table('Firing alerts', 'Each leads to its runbook.', units.String, unlimited)
        .noValue('No alert fires')
        .withTarget(rows(`ALERTS{${studio},alertname=~"Orfeas.+",alertstate="firing"}`))
        .withTransformation({ id: 'organize', options: { excludeByName: Object.fromEntries(HIDDEN.map(name => [name, true])) } })
        .overrideByName('alertname', [
          {
            id: 'links',
            value: [
              {
                title: 'Runbook',
                // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own variable
                url: runbookUrl(settings, '${__value.raw}'),
                targetBlank: true,
              },
            ],
          },
        ]),
    )
    .withRow(new RowBuilder('Traffic'))
    .withPanel(
      timeSeries('Requests', 'Answered by web, by route.', units.RequestsPerSecond, unlimited)
        .span(8)
        .withTarget(query(`orfeas:http_requests:rate5m{${studio}}`, '{{route}}')),
    )
    .withPanel(
      timeSeries('Errors of ours', 'Answers of web with a status of 500 and above.', units.RequestsPerSecond, unlimited)
        .span(8)
        .links(runbooks(settings, 'OrfeasAvailabilityBurn'))
        .withTarget(query(`orfeas:http_errors:rate5m{${studio}}`, '{{route}}')),
    )
    .withPanel(
      timeSeries('Time to answer', '95 of 100 requests are answered within this time.', units.Seconds, unlimited)
        .span(8)
        .withTarget(query(`orfeas:http_request_duration_seconds:p95{${studio}}`, '{{route}}')),
    )
    .withRow(new RowBuilder('Jobs'))
    .withPanel(
      timeSeries('Jobs an hour', 'Completed, and failed by reason.', units.Short, unlimited)
        .links(runbooks(settings, 'OrfeasJobsFailing', 'OrfeasJobSuccessBurn'))
        .withTarget(query(`3600 * orfeas:jobs_completed:rate5m{${studio}}`, 'completed'))
        .withTarget(query(`3600 * orfeas:jobs_failed:rate5m{${studio}}`, '{{code}}')),
    )
    .withPanel(
      timeSeries('Queue', 'Jobs that wait, and jobs that are worked on.', units.Short, unlimited)
        .links(runbooks(settings, 'OrfeasQueueGrowing'))
        .withTarget(query(`orfeas:queue_jobs:max{${studio}}`, 'waiting'))
        .withTarget(query(`sum(orfeas_jobs_running{${studio}})`, 'running'))
        .withTarget(query(`sum(orfeas_job_slots{${studio}})`, 'at once')),
    )
    .withPanel(
      timeSeries(
        'Time of work',
        'Within which half, and 95 of 100, completed jobs end.',
        units.Seconds,
        below(settings.monitoring.serviceLevel.jobLatency.seconds, settings.model.jobTimeoutSeconds),
      )
        .links(runbooks(settings, 'OrfeasJobLatencyBurn'))
        .withTarget(query(`orfeas:job_duration_seconds:p50{${studio}}`, 'half'))
        .withTarget(query(`orfeas:job_duration_seconds:p95{${studio}}`, '95 of 100')),
    )
    .withPanel(
      timeSeries(
        'Waiting time',
        'Within which 95 of 100 jobs are begun, and how long the oldest one waits.',
        units.Seconds,
        below(settings.monitoring.serviceLevel.queueWait.seconds, 2 * settings.monitoring.serviceLevel.queueWait.seconds),
      )
        .links(runbooks(settings, 'OrfeasQueueWaitBurn', 'OrfeasOldestJobTooOld'))
        .withTarget(query(`orfeas:queue_wait_seconds:p95{${studio}}`, '95 of 100'))
        .withTarget(query(`orfeas:queue_oldest_job_age_seconds:max{${studio}}`, 'oldest')),
    )
    .withRow(new RowBuilder('GPU'))
    .withPanel(
      timeSeries('Utilization', 'Share of time in which a GPU computes.', units.PercentUnit, unlimited)
        .span(8)
        .max(1)
        .noValue(NO_GPU)
        .withTarget(query(`orfeas_gpu_utilization_ratio{${studio}}`, '{{pod}} {{gpu}}')),
    )
    .withPanel(
      timeSeries('Memory', 'Of that which the model may use.', units.PercentUnit, below(0.8, 0.95))
        .span(8)
        .noValue(NO_GPU)
        .links(runbooks(settings, 'OrfeasGpuMemoryHigh'))
        .withTarget(query(`orfeas:gpu_memory:share_ratio{${studio}}`, '{{pod}} {{gpu}}')),
    )
    .withPanel(
      timeSeries('Room until it is too hot', 'Degrees below the temperature at which a GPU slows down.', units.Celsius, above(0, 5))
        .span(8)
        .noValue(NO_GPU)
        .links(runbooks(settings, 'OrfeasGpuHot'))
        .withTarget(
          query(
            `orfeas_gpu_temperature_limit_celsius{${studio}} - on (pod, gpu) orfeas_gpu_temperature_celsius{${studio}}`,
            '{{pod}} {{gpu}}',
          ),
        ),
    );
