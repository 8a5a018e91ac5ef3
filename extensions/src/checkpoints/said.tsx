/** What went wrong, and the next step. */

import * as React from 'react';

import type { Problem } from './model';

export function Said({ problem }: { problem: Problem }): JSX.Element {
  return (
    <div className="petrihub-Said" role="alert">
      <p>{problem.words}</p>
      {problem.hint && <p>{problem.hint}</p>}
    </div>
  );
}
