"""An app whose work is done by a pool of processes: `pools_app.py WAY`."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import openai


def ask(text: str) -> str:
    with openai.OpenAI() as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": text}])
    return answer.choices[0].message.content or ""


def main(way: str) -> None:
    kind, how = way.split("-")
    context = multiprocessing.get_context(kind)
    said = [ask("before")]
    if how == "pool":
        with context.Pool(2, maxtasksperchild=2) as pool:
            said += pool.map(ask, map(str, range(6)), chunksize=1)
    elif how == "executor":
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            said += executor.map(ask, map(str, range(6)))
    else:
        processes = [context.Process(target=ask, args=(str(number),)) for number in range(6)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    sys.stdout.write("\n".join(said))


if __name__ == "__main__":
    main(sys.argv[1])
