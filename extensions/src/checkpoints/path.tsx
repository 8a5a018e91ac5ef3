/** A path that breaks between its folders where it is too long. */

import * as React from 'react';

export function Path({ path }: { path: string }): JSX.Element {
  return (
    <code>
      {path.split(/(?<=\/)/).map((part, index) => (
        <React.Fragment key={index}>
          {part}
          <wbr />
        </React.Fragment>
      ))}
    </code>
  );
}
