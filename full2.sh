cd /tmp/mp/brk; R=/tmp/mp/brk/med; export LC_ALL=C
ref=full/ref; p=full/p2; umount $p/data 2>/dev/null; rm -rf $p; mkdir -p $p/data
ref29=full/ref29; rm -rf $ref29; mkdir -p $ref29; ./mp run --project $ref29 --set data_paths.raw=$R --as-of 2020-11-29 -q >/dev/null
for x in 4 12 20 60 300 800 2000 4000 6000 8000 9000 9500 10000 10300 10400 10500 10600 10800; do
 mount -t tmpfs -o size=100m tmpfs $p/data
 ./mp run --project $p --set data_paths.raw=$R --as-of 2020-11-29 -q >/dev/null || echo BAD
 used=$(df -k --output=used $p/data | tail -1); mount -o remount,size=$((used+x))k $p/data
 ./mp run --project $p --set data_paths.raw=$R --as-of 2020-11-30 --json >full/o 2>full/e; rc=$?
 echo "== +$x rc=$rc $(grep ❌ full/e | cut -c1-250 | tr '\n' ' ') json:$(python3 -c "import json;print(json.load(open('full/o'))['exit'])" 2>&1 | tail -1)"
 s=""; for f in $(cd $ref29/data; find . -name '*.parquet' -o -name '*.csv' -o -name '_SUCCESS.json' -o -name quality_report.json|sort); do if cmp -s $p/data/$f $ref29/data/$f; then if cmp -s $p/data/$f $ref/data/$f; then s="$s ="; else s="$s old:$(basename $f)"; fi; elif cmp -s $p/data/$f $ref/data/$f; then s="$s new:$(basename $f)"; else s="$s BAD:$f"; fi; done; echo "   $s; tmp=$(find $p/data -name '*.tmp' | wc -l)"
 ./mp status --project $p --set data_paths.raw=$R --as-of 2020-11-29 --exit-code > full/st; echo "   status at 29: $?"; grep -v 'up to date' full/st | tail -n +2 | cut -c1-150
 ./mp run --project $p --set data_paths.raw=$R --as-of 2020-11-29 -q 2>&1 | tail -2; echo "   back to 29 on full disk rc=${PIPESTATUS[0]}"
 mount -o remount,size=200m $p/data
 ./mp run --project $p --set data_paths.raw=$R --as-of 2020-11-30 -q >full/o 2>full/e; rc=$?
 bad=0; for f in $(cd $ref/data; find . -name '*.parquet' -o -name '*.csv' -o -name '_SUCCESS.json' -o -name quality_report.json); do cmp -s $p/data/$f $ref/data/$f || { bad=1; echo "   after DIFF $f"; }; done
 echo "   after growth rc=$rc bad=$bad tmp=$(find $p/data -name '*.tmp' | wc -l) failed=$(find $p/data -name '*failed*')"
 umount $p/data
done
