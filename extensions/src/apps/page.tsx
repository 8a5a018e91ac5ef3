/** What a tab shows while its app is not there: progress, a failure with its log, or a way back. */

import type { LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

/** What the page is told. */
export interface Status {
  readonly phase: 'starting' | 'failed' | 'stopped';
  /** The name of what is started, with the file if there is one. */
  readonly title: string;
  /** What happens now, or why it failed. */
  readonly words: string;
  readonly hint: string;
  /** When the start began, in ms since 1970. */
  readonly since: number;
}

export interface PageProps {
  readonly status: Status;
  readonly icon: LabIcon | undefined;
  /** A line above the app instead of a whole page. */
  readonly strip: boolean;
  readonly start: () => void;
  readonly readLog: () => Promise<string>;
  /** Whether the log is shown from the start. */
  readonly openLog: boolean;
  /** Asks for another file; absent for apps without files. */
  readonly chooseOther?: () => void;
  /** Hides a strip; absent on a page. */
  readonly dismiss?: () => void;
}

const PATIENCE = 15; // s after which we say that it may take longer

export function Page(props: PageProps): JSX.Element {
  const { status, icon, strip } = props;
  const [showsLog, setShowsLog] = React.useState(props.openLog);
  const busy = status.phase === 'starting';
  return (
    <div className="petrihub-Page" data-phase={status.phase}>
      {icon && !strip && <icon.react tag="div" className="petrihub-Page-icon" aria-hidden="true" />}
      <div className="petrihub-Page-words" role="status">
        <h2>{heading(status)}</h2>
        <p>{status.words}</p>
        {status.hint && <p>{status.hint}</p>}
      </div>
      {busy && <Progress since={status.since} />}
      <div className="petrihub-Page-actions">
        {!busy && (
          <button
            type="button"
            className="jp-Dialog-button jp-mod-accept jp-mod-styled"
            onClick={props.start}
          >
            {status.phase === 'failed' ? 'Try again' : 'Start'}
          </button>
        )}
        {status.phase !== 'stopped' && (
          <button
            type="button"
            className="jp-mod-styled jp-mod-reject"
            aria-expanded={showsLog}
            onClick={() => setShowsLog(!showsLog)}
          >
            {showsLog ? 'Hide log' : 'Show log'}
          </button>
        )}
        {!busy && props.chooseOther && (
          <button
            type="button"
            className="jp-mod-styled jp-mod-reject"
            onClick={props.chooseOther}
          >
            Choose another file
          </button>
        )}
        {props.dismiss && (
          <button type="button" className="jp-mod-styled jp-mod-reject" onClick={props.dismiss}>
            Dismiss
          </button>
        )}
      </div>
      {showsLog && <Log read={props.readLog} live={busy} />}
    </div>
  );
}

function heading(status: Status): string {
  switch (status.phase) {
    case 'starting':
      return `Starting ${status.title}`;
    case 'failed':
      return `${status.title} could not be opened`;
    case 'stopped':
      return `${status.title} is not running`;
  }
}

function Progress({ since }: { since: number }): JSX.Element {
  const [now, setNow] = React.useState(Date.now());
  React.useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), 1000);
    return () => window.clearInterval(timer);
  }, []);
  const seconds = Math.max(0, Math.round((now - since) / 1000));
  return (
    <div className="petrihub-Progress">
      <div className="petrihub-Progress-bar" role="progressbar" aria-label="Starting" />
      <span aria-hidden="true">
        {seconds} s{seconds >= PATIENCE ? ', still working. Large programs and files take longer.' : ''}
      </span>
    </div>
  );
}

function Log({ read, live }: { read: () => Promise<string>; live: boolean }): JSX.Element {
  const [text, setText] = React.useState('');
  const box = React.useRef<HTMLPreElement>(null);
  React.useEffect(() => {
    let current = true;
    const load = async (): Promise<void> => {
      const answer = await read().catch((error: unknown) => String(error));
      if (current) {
        setText(answer || 'Nothing was written.');
      }
    };
    void load();
    const timer = live ? window.setInterval(() => void load(), 2000) : undefined;
    return () => {
      current = false;
      window.clearInterval(timer);
    };
  }, [read, live]);
  React.useEffect(() => {
    box.current?.scrollTo({ top: box.current.scrollHeight });
  }, [text]);
  return (
    <pre className="petrihub-Log" tabIndex={0} aria-label="Log" ref={box}>
      {text}
    </pre>
  );
}
