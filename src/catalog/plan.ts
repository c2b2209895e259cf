/**
 * What a download says of itself before it starts, and what it may ask and tell while it runs.
 * Knows nothing of how anything is fetched.
 */
import { UserError } from '../errors.ts';

/** Shown to the user before anything is fetched. */
export interface DownloadPlan {
  /** `SmolLM2-135M-Instruct (Q4_1)`. */
  readonly what: string;
  /** An address or a package, as a person would look it up. */
  readonly from: string;
  /** Bytes still to be fetched. */
  readonly bytes: number;
  /** `apache-2.0`; null when its publisher states none. */
  readonly licence: string | null;
  /** Where it is kept. */
  readonly folder: string;
}

/** Bytes of the whole plan done so far, and all of them. Called often; never after the promise has settled. */
export type ProgressListener = (bytes: number, total: number) => void;

export interface FetchOptions {
  readonly onProgress?: ProgressListener | undefined;
  /** Ends the download; what was fetched is kept and gone on with next time. */
  readonly signal?: AbortSignal | undefined;
}

/** Asked once a plan; false refuses it. */
export type Consent = (plan: DownloadPlan) => Promise<boolean>;

/** One line: what, from where, how large, which licence. */
export function describePlan(plan: DownloadPlan): string {
  const licence = plan.licence === null ? 'licence not stated' : `licence ${plan.licence}`;
  return `${plan.what}: ${formatBytes(plan.bytes)} from ${plan.from}, ${licence}, kept in ${plan.folder}`;
}

/** @throws UserError when the consent is missing or refused. */
export async function askConsent(plan: DownloadPlan, consent: Consent | undefined): Promise<void> {
  if (consent === undefined)
    throw new UserError(`Not here yet and not fetched without being asked for. ${describePlan(plan)}.`);
  if (!(await consent(plan))) throw new UserError(`Not fetched, as you chose: ${plan.what}.`);
}

/** Decimal units as disks and hubs count them: `98.4 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  const units = ['kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toFixed(value < 9.95 ? 2 : value < 99.95 ? 1 : 0)} ${units[unit]!}`;
}
