# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = [
#   "biopython==1.88", "numpy==2.4.6", "pillow==12.3.0", "pysam==0.24.0", "scanpy==1.11.5",
#   "scikit-image==0.26.0",
# ]
# ///
"""Write the example files of the folder Welcome again: `uv run --script catalog/make_examples.py`.

The reference, its genes, the alignment, the cells and the image are real; where they come from is
in Examples/README.md. The reads are simulated from the reference with the variants written here.
"""

import io
import shutil
import sys
import tarfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pysam
import scanpy
from Bio import SeqIO
from PIL import Image

EXAMPLES = Path(__file__).parent / "notebooks" / "Examples"
GENBANK = "Tests/GenBank/NC_005816.gb"
ALIGNMENT = "Doc/examples/opuntia.aln"
NAME = "NC_005816.1"
READ = 100  # bases
FRAGMENT = (320, 30)  # bases: mean, standard deviation
DEPTH = 40
ERROR = 0.002  # wrong bases per base


@dataclass(frozen=True)
class Variant:
    """A change of the sample against the reference; `start` counts from 0."""

    start: int
    ref: str
    alt: str
    share: float


def main() -> None:
    """Write all examples; the one argument is the unpacked source of Biopython 1.88."""
    if len(sys.argv) == 2:
        _reference(Path(sys.argv[1]))
    elif not (EXAMPLES / "pPCP1.fa").exists():
        sys.exit("Give the source archive of Biopython 1.88: its tests hold the plasmid.")
    reference = pysam.FastaFile(str(EXAMPLES / "pPCP1.fa")).fetch(NAME)
    variants = _variants(reference)
    _reads(reference, variants)
    _calls(reference, variants)
    _image()
    _cells()


def _reference(archive: Path) -> None:
    """Take plasmid, genes and alignment out of Biopython's source archive."""
    with tarfile.open(archive) as source:
        top = source.getnames()[0].split("/")[0]
        genbank = source.extractfile(f"{top}/{GENBANK}")
        alignment = source.extractfile(f"{top}/{ALIGNMENT}")
        record = SeqIO.read(io.TextIOWrapper(genbank), "genbank")
        (EXAMPLES / "opuntia.aln").write_bytes(alignment.read())
    sequence = str(record.seq)
    lines = [sequence[i : i + 70] for i in range(0, len(sequence), 70)]
    (EXAMPLES / "pPCP1.fa").write_text("\n".join([f">{NAME}", *lines, ""]))
    pysam.faidx(str(EXAMPLES / "pPCP1.fa"))
    genes = ["##gff-version 3", f"##sequence-region {NAME} 1 {len(sequence)}"]
    for feature in record.features:
        if feature.type == "CDS":
            tag = feature.qualifiers["locus_tag"][0]
            name = feature.qualifiers.get("gene", [tag])[0]
            product = feature.qualifiers["product"][0].replace(";", ",").replace("%", "%25")
            place = (int(feature.location.start) + 1, int(feature.location.end))
            strand = "+" if feature.location.strand == 1 else "-"
            genes.append(
                f"{NAME}\tGenBank\tgene\t{place[0]}\t{place[1]}\t.\t{strand}\t.\t"
                f"ID={tag};Name={name};product={product}"
            )
    (EXAMPLES / "pPCP1.gff3").write_text("\n".join([*genes, ""]))


def _variants(reference: str) -> list[Variant]:
    """Six substitutions and one deletion, one of them in half of the plasmids only."""
    places = [(845, 1.0), (2310, 1.0), (4433, 0.5), (5190, 1.0), (6721, 1.0), (8844, 1.0)]
    swap = {"A": "G", "G": "A", "C": "T", "T": "C"}
    found = [Variant(p, reference[p], swap[reference[p]], share) for p, share in places]
    return sorted([*found, Variant(7502, reference[7502:7506], reference[7502], 1.0)], key=_start)


def _start(variant: Variant) -> int:
    return variant.start


def _reads(reference: str, variants: list[Variant]) -> None:
    """Simulated pairs, aligned where they came from, sorted and indexed."""
    chance = np.random.default_rng(5816)
    header = pysam.AlignmentHeader.from_dict(
        {
            "HD": {"VN": "1.6", "SO": "coordinate"},
            "SQ": [{"SN": NAME, "LN": len(reference)}],
            "RG": [{"ID": "example", "SM": "example", "PL": "ILLUMINA"}],
            "PG": [{"ID": "make_examples", "PN": "make_examples.py"}],
        }
    )
    reads = []
    for number in range(DEPTH * len(reference) // (2 * READ)):
        length = max(READ + 10, int(chance.normal(*FRAGMENT)))
        start = int(chance.integers(0, len(reference) - length - 4))
        carried = [v for v in variants if v.share == 1.0 or chance.random() < v.share]
        left, right = start, start + length - READ
        for first, place, mate in ((True, left, right), (False, right, left)):
            read = _read(reference, carried, place, chance, header)
            read.query_name = f"pair{number:05d}"
            read.next_reference_id, read.next_reference_start = 0, mate
            read.template_length = length if first else -length
            read.is_paired = read.is_proper_pair = True
            read.is_read1, read.is_read2 = first, not first
            read.is_reverse, read.mate_is_reverse = not first, first
            reads.append(read)
    reads.sort(key=lambda read: (read.reference_start, read.query_name))
    path = EXAMPLES / "pPCP1_reads.bam"
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
        for read in reads:
            bam.write(read)
    pysam.index(str(path))


def _read(
    reference: str,
    variants: list[Variant],
    start: int,
    chance: np.random.Generator,
    header: pysam.AlignmentHeader,
) -> pysam.AlignedSegment:
    """One read of the sample that begins at `start` of the reference."""
    bases: list[str] = []
    cigar: list[tuple[int, int]] = []
    place, matched = start, 0
    here = {v.start: v for v in variants}
    while len(bases) < READ:
        variant = here.get(place)
        bases.append(variant.alt if variant else reference[place])
        matched += 1
        place += 1
        # a deletion at the very end of a read would not be seen by an aligner either
        if variant and len(variant.ref) > 1 and READ - len(bases) > 5:
            cigar += [(0, matched), (2, len(variant.ref) - 1)]
            place += len(variant.ref) - 1
            matched = 0
    qualities = np.clip(chance.normal(36, 2, READ), 20, 40).astype(int) // 4 * 4
    for i in np.flatnonzero(chance.random(READ) < ERROR):
        bases[i] = chance.choice([b for b in "ACGT" if b != bases[i]])
        qualities[i] = 12
    read = pysam.AlignedSegment(header)
    read.query_sequence = "".join(bases)
    read.query_qualities = pysam.qualitystring_to_array("".join(chr(q + 33) for q in qualities))
    read.reference_id, read.reference_start, read.mapping_quality = 0, start, 60
    read.cigartuples = [*cigar, (0, matched)]
    read.set_tag("RG", "example")
    return read


def _calls(reference: str, variants: list[Variant]) -> None:
    """The variants as VCF, with the depths that the reads really have there."""
    lines = [
        "##fileformat=VCFv4.3",
        "##source=make_examples.py",
        f"##contig=<ID={NAME},length={len(reference)}>",
        '##FILTER=<ID=PASS,Description="All filters passed">',
        '##INFO=<ID=DP,Number=1,Type=Integer,Description="Reads over the place">',
        '##INFO=<ID=AF,Number=A,Type=Float,Description="Share of the plasmids that have it">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\texample",
    ]
    with pysam.AlignmentFile(str(EXAMPLES / "pPCP1_reads.bam")) as bam:
        for v in variants:
            depth = bam.count(NAME, v.start, v.start + 1)
            genotype = "1/1" if v.share == 1.0 else "0/1"
            lines.append(
                f"{NAME}\t{v.start + 1}\t.\t{v.ref}\t{v.alt}\t{60}\tPASS\t"
                f"DP={depth};AF={v.share}\tGT\t{genotype}"
            )
    (EXAMPLES / "pPCP1_variants.vcf").write_text("\n".join([*lines, ""]))


def _image() -> None:
    """A cell under the microscope, from scikit-image, as TIFF."""
    source = files("skimage").joinpath("data/cell.png")
    with source.open("rb") as handle:
        Image.open(handle).convert("L").save(EXAMPLES / "cell.tif", compression="tiff_lzw")


def _cells() -> None:
    """The reduced PBMC set out of scanpy, as scanpy ships it."""
    source = files(scanpy).joinpath("datasets/10x_pbmc68k_reduced.h5ad")
    with source.open("rb") as old, (EXAMPLES / "pbmc68k_reduced.h5ad").open("wb") as new:
        shutil.copyfileobj(old, new)


if __name__ == "__main__":
    main()
