"""The store: market data in Parquet files.

    STORE/exchange=BinanceUsdm/instrument=bnu%3Aperp%3Abtc-usdt/day=2024-07-18/quote.<source>.parquet

One schema a kind (`SCHEMAS`), compressed with zstd, pages with checksums. Values are integers, ticks and lots; the
file's metadata holds tick and lot as exact text and the definition of the instrument, so that a store is read without
the catalogue it was made with.

The folder is named after the instrument, its name (`bnu:perp:btc-usdt`) quoted as in URLs; older stores named it after
the symbol, which a spot and a perpetual instrument may share, and are read as they are. The day is UTC's at receipt.
`<source>` is a hash of the imported file's content: importing a file again gives the same names, and a file that is
there already with no fewer rows is left alone (the same recording has more rows when it is imported together with the
one whose book it continues). Files are written under a name that begins with a dot and renamed when they are whole.

`Store` is a `Source`: it reads one row group at a time. What cannot be read is a `Problem`; a lost row group of a book
leaves a STALE row in its place.
"""

from mlthon.data.store.contents import StoreInfo as StoreInfo
from mlthon.data.store.contents import StreamInfo as StreamInfo
from mlthon.data.store.contents import info as info
from mlthon.data.store.files import definition as definition
from mlthon.data.store.files import instrument_of as instrument_of
from mlthon.data.store.reading import NotAStore as NotAStore
from mlthon.data.store.reading import Store as Store
from mlthon.data.store.reading import is_store as is_store
from mlthon.data.store.writing import ImportProgress as ImportProgress
from mlthon.data.store.writing import ImportResult as ImportResult
from mlthon.data.store.writing import import_files as import_files
from mlthon.data.store.writing import store_rows as store_rows
