# Written by confctl; edits are lost.
backend be_cp_1001_eqiad_wmnet {
    .host = "cp-1001.eqiad.wmnet";
    .port = "3128";
}
backend be_cp_1002_eqiad_wmnet {
    .host = "cp-1002.eqiad.wmnet";
    .port = "3128";
}

sub vcl_init {
    new cache = directors.random();
    cache.add_backend(be_cp_1001_eqiad_wmnet, 100);
    cache.add_backend(be_cp_1002_eqiad_wmnet, 50);
}
